import { listOf, type Edit, type Entity } from "./entity.js"
import { ClientError } from "./error.js"
import { RowQuery, type Source } from "./query.js"
import type { Collection, CounterField, Input, MultiField, Order, Query, Row, SetField } from "./rows.js"
import type { Field, Fields, Value, ValueType } from "./schema.js"
import type { TextField } from "./text-field.js"
import { floats } from "./undo.js"
import { isSame, toBase64 } from "./values.js"

/** Bytes of a value, and of an update of a text, at most; the engine counts its type as well. */
const VALUE_BYTES_MAX = (64 << 10) - 16
const TEXT_BYTES_MAX = (768 << 10) - 16

/** A document, as its collections see it. */
export interface Editable {
  entity(id: string): Entity | undefined
  ids(collection: string): readonly string[]
  write(edits: readonly Edit[]): void
  subscribe(listener: (change: { readonly entities: ReadonlySet<string> }) => void): () => void
}

/** Entities of one collection of a document. */
export class Entities<F extends Fields> implements Collection<F>, Source<Row<F>> {
  readonly #doc: Editable
  readonly #fields: F
  readonly #make: (id: string) => Row<F>
  readonly #rows = new Map<string, Row<F>>()

  constructor(
    doc: Editable,
    readonly name: string,
    fields: F,
  ) {
    this.#doc = doc
    this.#fields = fields
    this.#make = rowMaker(doc, fields)
  }

  get size(): number {
    return this.#doc.ids(this.name).length
  }

  insert(fields: Input<F>, id = newName()): string {
    const whole = this.#id(id)
    const edits = this.#edits(whole, fields)
    this.#doc.write(edits.length > 0 ? edits : [{ verb: "create", id: whole }])
    return whole
  }

  update(id: string, fields: Input<F>): void {
    this.#doc.write(this.#edits(this.#id(id), fields))
  }

  get(id: string): Row<F> | undefined {
    const whole = this.#id(id)
    return this.#doc.entity(whole) && this.#row(whole)
  }

  has(id: string): boolean {
    return this.#doc.entity(this.#id(id)) !== undefined
  }

  delete(id: string): void {
    if (this.has(id)) this.#doc.write([{ verb: "delete", id: this.#id(id) }])
  }

  all(): readonly Row<F>[] {
    return this.#doc.ids(this.name).map(id => this.#row(id))
  }

  where(matches: (row: Row<F>) => boolean): Query<F> {
    return this.#query().where(matches)
  }

  orderBy(key: (row: Row<F>) => Order, direction: "asc" | "desc" = "asc"): Query<F> {
    return this.#query().orderBy(key, direction)
  }

  [Symbol.iterator](): Iterator<Row<F>> {
    return this.all()[Symbol.iterator]()
  }

  #query(): RowQuery<Row<F>> {
    return new RowQuery<Row<F>>(this, { collection: this.name, filters: [] })
  }

  #row(id: string): Row<F> {
    const row = this.#rows.get(id) ?? this.#make(id)
    this.#rows.set(id, row)
    return row
  }

  #id(id: string): string {
    const whole = id.startsWith(`${this.name}/`) ? id : `${this.name}/${id}`
    const bytes = new TextEncoder().encode(whole).length
    if (bytes > 256 || bytes === this.name.length + 1) throw new ClientError("invalid", "an id has 1 to 256 bytes")
    return whole
  }

  #edits(id: string, input: Input<F>): Edit[] {
    return Object.entries(input).flatMap(([field, value]) => {
      const of = Object.hasOwn(this.#fields, field) ? this.#fields[field] : undefined
      if (!of) throw new ClientError("invalid", `${this.name} have no field "${field}"`)
      return value === undefined ? [] : inputEdits({ id, field, of }, value)
    })
  }
}

/** Which field of which entity. */
interface Place {
  readonly id: string
  readonly field: string
  readonly of: Field
}

function inputEdits(place: Place, value: unknown): Edit[] {
  switch (place.of.kind) {
    case "text":
      return [push(place, value as Uint8Array)]
    case "or-set":
    case "grow-set":
      return [...(value as Iterable<Value>)].map(element => write(place, element))
    default:
      return [write(place, value as Value)]
  }
}

function write({ id, field, of }: Place, value: Value): Edit {
  check(field, of.type, value)
  return { verb: "write", id, field, kind: of.kind as Exclude<Field["kind"], "text">, value, ...floats(of.type) }
}

function push({ id, field }: Place, value: Uint8Array, verb: "push" | "squash" = "push"): Edit {
  check(field, "bytes", value, TEXT_BYTES_MAX)
  return { verb, id, field, value, name: newName() }
}

const TYPES: Readonly<Record<ValueType, (value: unknown) => boolean>> = {
  bool: value => typeof value === "boolean",
  int: value => Number.isSafeInteger(value) || (typeof value === "bigint" && BigInt.asIntN(64, value) === value),
  float: value => typeof value === "number",
  text: value => typeof value === "string",
  bytes: value => value instanceof Uint8Array,
}

function check(field: string, type: ValueType, value: unknown, bytesMax = VALUE_BYTES_MAX): void {
  if (!TYPES[type](value)) throw new ClientError("invalid", `"${field}" holds ${type}, and not ${describe(value)}`)
  if (bytesOf(value) > bytesMax) throw new ClientError("invalid", `"${field}" holds at most ${bytesMax} bytes`)
}

function bytesOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.length
  if (typeof value !== "string") return 0
  // Three bytes of UTF-8 are the most that a unit of UTF-16 comes to.
  return 3 * value.length <= VALUE_BYTES_MAX ? 0 : new TextEncoder().encode(value).length
}

function describe(value: unknown): string {
  return value === null || value === undefined ? String(value) : Object.prototype.toString.call(value).slice(8, -1)
}

/** A name that nobody else draws. */
export function newName(bytes = 12): string {
  return toBase64(crypto.getRandomValues(new Uint8Array(bytes)))
}

/** Makes rows: what all have in common, properties for the fields, is made once. */
function rowMaker<F extends Fields>(doc: Editable, fields: F): (id: string) => Row<F> {
  const shape: PropertyDescriptorMap = { exists: { get: idOf(id => doc.entity(id) !== undefined) } }
  for (const [field, of] of Object.entries(fields)) shape[field] = property(doc, field, of)
  class Known {
    constructor(readonly id: string) {
      Object.freeze(this)
    }
  }
  Object.defineProperties(Known.prototype, shape)
  return id => new Known(id) as unknown as Row<F>
}

function idOf<T>(read: (id: string) => T): (this: { id: string }) => T {
  return function () {
    return read(this.id)
  }
}

function property(doc: Editable, field: string, of: Field): PropertyDescriptor {
  const at = (id: string): Place => ({ id, field, of })
  switch (of.kind) {
    case "or-set":
    case "grow-set":
      return { enumerable: true, get: idOf(id => new LiveSet(doc, at(id))) }
    case "counter":
      return { enumerable: true, get: idOf(id => new Counter(doc, at(id))) }
    case "multi":
      return { enumerable: true, get: idOf(id => new Multi(doc, at(id))) }
    case "text":
      return { enumerable: true, get: idOf(id => new LiveText(doc, at(id))) }
    default:
      return { enumerable: true, get: idOf(id => readOne(doc, at(id))), set: setter(doc, field, of) }
  }
}

function readOne(doc: Editable, { id, field, of }: Place): unknown {
  const content = doc.entity(id)?.fields[field]
  // What another version of the application wrote may be of another type.
  return content === undefined || !TYPES[of.type](content) ? of.initial : content
}

/** The values of a field that are of its type. */
function readAll<T>(doc: Editable, { id, field, of }: Place): readonly T[] {
  const values = listOf(doc.entity(id)?.fields[field])
  return (values.every(TYPES[of.type]) ? values : values.filter(TYPES[of.type])) as readonly T[]
}

function setter(doc: Editable, field: string, of: Field): (this: { id: string }, value: unknown) => void {
  return function (value) {
    const { id } = this
    if (value === undefined && of.kind === "lww" && of.initial === undefined)
      return doc.write([{ verb: "unset", id, field, kind: "lww" }])
    const edit = write({ id, field, of }, value as Value)
    if (!isSame(doc.entity(id)?.fields[field], value)) doc.write([edit])
  }
}

class LiveSet<T extends Value> implements SetField<T> {
  constructor(
    readonly doc: Editable,
    readonly place: Place,
  ) {}

  get size(): number {
    return this.values().length
  }

  has(value: T): boolean {
    return this.values().some(item => isSame(item, value))
  }

  values(): readonly T[] {
    return readAll(this.doc, this.place)
  }

  add(value: T): void {
    if (!this.has(value)) this.doc.write([write(this.place, value)])
  }

  delete(value: T): void {
    const { id, field, of } = this.place
    if (of.kind !== "or-set") throw new ClientError("invalid", `"${field}" only grows`)
    if (this.has(value)) this.doc.write([{ verb: "remove", id, field, kind: of.kind, value, ...floats(of.type) }])
  }

  replace(values: Iterable<T>): void {
    const wanted = [...values]
    const gone = this.values().filter(value => !wanted.some(item => isSame(item, value)))
    const added = wanted.filter(value => !this.has(value)).map(value => write(this.place, value))
    const { id, field, of } = this.place
    if (gone.length > 0 && of.kind !== "or-set") throw new ClientError("invalid", `"${field}" only grows`)
    const removed = gone.map((value): Edit => ({ verb: "remove", id, field, kind: "or-set", value, ...floats(of.type) }))
    if (removed.length + added.length > 0) this.doc.write([...removed, ...added])
  }

  [Symbol.iterator](): Iterator<T> {
    return this.values()[Symbol.iterator]()
  }
}

class Counter implements CounterField {
  constructor(
    readonly doc: Editable,
    readonly place: Place,
  ) {}

  get value(): number {
    const sum = this.doc.entity(this.place.id)?.fields[this.place.field]
    return typeof sum === "number" || typeof sum === "bigint" ? Number(sum) : 0
  }

  add(by: number): void {
    this.doc.write([write(this.place, by)])
  }
}

class Multi<T extends Value> implements MultiField<T> {
  constructor(
    readonly doc: Editable,
    readonly place: Place,
  ) {}

  values(): readonly T[] {
    return readAll(this.doc, this.place)
  }

  set(value: T): void {
    this.doc.write([write(this.place, value)])
  }

  [Symbol.iterator](): Iterator<T> {
    return this.values()[Symbol.iterator]()
  }
}

/** Of a text that nobody wrote. */
const NONE: readonly never[] = []

class LiveText implements TextField {
  readonly entity: string
  readonly field: string

  constructor(
    readonly doc: Editable,
    readonly place: Place,
  ) {
    this.entity = place.id
    this.field = place.field
  }

  names(): readonly string[] {
    return this.doc.entity(this.entity)?.texts[this.field]?.names ?? NONE
  }

  updates(): readonly Uint8Array[] {
    return this.doc.entity(this.entity)?.texts[this.field]?.updates ?? NONE
  }

  push(update: Uint8Array): void {
    this.doc.write([push(this.place, update)])
  }

  squash(all: Uint8Array): void {
    this.doc.write([push(this.place, all, "squash")])
  }

  subscribe(listener: () => void): () => void {
    return this.doc.subscribe(({ entities }) => entities.has(this.entity) && listener())
  }
}
