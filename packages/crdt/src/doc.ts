import { Fate, Replica, Verb, type Undo as CoreUndo } from "./core.js"
import { Batch, NO_HASH, chunks, hashOf, readStamp, readWritten, type Stamp, type Written } from "./batch.js"
import { CrdtError } from "./error.js"
import { Schema, type SchemaDefinition } from "./schema.js"
import { Float, Unknown, fromHex, kindNumber, kindOf, parse, parsePlain } from "./values.js"
import type { Fields, Input, Kind, Value } from "./values.js"

const LWW = 1
const GROW_SET = 2
const OR_SET = 3
const MAX = 4
const MIN = 5
const COUNTER = 6
const MULTI = 7
const TEXT = 8

/** Names of fields that are remembered; documents with more have names that are data. */
const NAMES_MAX = 1024

/** Where a writer is: kept together with the document, in one transaction. One that goes back writes other operations under the same names. */
export interface WriterState {
  replica: Uint8Array
  nextSeq: number
  lastHlc: bigint
  lastHash: Uint8Array
}

/** How a document begins. */
export interface DocOptions {
  /** The id of the replica that writes here: 16 random bytes, for this one copy only. Drawn unless given. */
  replica?: Uint8Array | string
  /** A writer that goes on where it was. */
  writer?: WriterState
  /** The state to begin with. */
  snapshot?: Uint8Array
  /** What is written must fit this. */
  schema?: Schema | SchemaDefinition
  /** Milliseconds since 1970; the system's clock unless given. */
  now?: () => number
}

/** What happened to a document. */
export interface Change {
  /** Whether it was written here. */
  local: boolean
  /** The ids of what may have changed; undefined: anything. */
  entities: ReadonlySet<string> | undefined
}

/** What takes a change back. */
export type Undo = CoreUndo

/** What a whole entity can be written from: lists are for sets, each element is added. */
export interface Inputs {
  [field: string]: Input | readonly Input[]
}

/** A document, and the replica that writes to it here. */
export class Doc {
  readonly #core: Replica
  readonly #now: () => number
  /** Numbers of fields by kind and name. */
  readonly #fields = new Map<number, Map<string, number>>()
  #names = 0
  /** The number that all names share that are not remembered. */
  #spare: number | undefined
  #lastHash: Uint8Array
  #inChange = false
  readonly #listeners = new Set<(change: Change) => void>()
  #touched = new Set<string>()

  constructor(options: DocOptions = {}) {
    const { writer } = options
    const given = writer?.replica ?? options.replica ?? crypto.getRandomValues(new Uint8Array(16))
    const replica = typeof given === "string" ? fromHex(given) : given
    this.#core = new Replica(replica, BigInt(writer?.nextSeq ?? 1), writer?.lastHlc ?? 0n)
    this.#lastHash = writer?.lastHash ?? NO_HASH
    this.#now = options.now ?? Date.now
    if (options.snapshot) this.#core.load(options.snapshot)
    if (options.schema) {
      const { schema } = options
      this.#core.setSchema((schema instanceof Schema ? schema : new Schema(schema)).core)
    }
  }

  /** A document from its snapshot. */
  static load(snapshot: Uint8Array, options: Omit<DocOptions, "snapshot"> = {}): Doc {
    return new Doc({ ...options, snapshot })
  }

  // Writing. Each call outside of `change` is a change of its own.

  /**
   * Makes several edits one change: with one stamp, told to listeners once. If `write` throws, what it wrote is taken
   * back.
   */
  change(write: (doc: this) => void): void {
    this.#begin(write)
    this.#inChange = false
    this.#core.end()
    this.#tell()
  }

  /** The same, and returns what takes the change back as a whole. */
  undoable(write: (doc: this) => void): Undo {
    this.#begin(write)
    const undo = this.#endForUndo()
    this.#tell()
    return undo
  }

  #begin(write: (doc: this) => void): void {
    this.#core.begin(this.#now())
    this.#inChange = true
    try {
      write(this)
    } catch (error) {
      const undo = this.#endForUndo()
      this.#core.undo(undo, this.#now()).free()
      undo.free()
      this.#tell()
      throw error
    }
  }

  #endForUndo(): Undo {
    this.#inChange = false
    return this.#core.endForUndo()
  }

  /** Takes a change back, as far as it is still what counts; what takes this back does the change again. */
  undo(undo: Undo): Undo {
    const redo = this.#core.undo(undo, this.#now())
    this.#emit({ local: true, entities: undefined })
    return redo
  }

  /** Sets a field in which the last writer wins; or several fields of an entity, each as the schema has it. */
  set(entity: string, field: string, value: Input): void
  set(entity: string, fields: Inputs): void
  set(entity: string, field: string | Inputs, value?: Input): void {
    if (typeof field === "string") this.#write(entity, field, LWW, value as Input)
    else if (this.#inChange) this.#setAll(entity, field)
    else this.change(() => this.#setAll(entity, field))
  }

  /** Sets a field that keeps all values written at the same time. */
  assign(entity: string, field: string, value: Input): void {
    this.#write(entity, field, MULTI, value)
  }

  /** Raises a maximum, if the value is greater. */
  raise(entity: string, field: string, value: Input): void {
    this.#write(entity, field, MAX, value)
  }

  /** Lowers a minimum, if the value is less. */
  lower(entity: string, field: string, value: Input): void {
    this.#write(entity, field, MIN, value)
  }

  /** Puts an element into a set that only grows. */
  include(entity: string, field: string, element: Input): void {
    this.#write(entity, field, GROW_SET, element)
  }

  /** Adds an element to a set; who removes it at the same time does not remove this. */
  add(entity: string, field: string, element: Input): void {
    this.#write(entity, field, OR_SET, element)
  }

  /** Removes an element from a set, as far as its additions were seen. */
  remove(entity: string, field: string, element: Input): void {
    this.#write(entity, field, OR_SET, element, Verb.Remove)
  }

  /** Adds to a counter; a negative number takes away. */
  increment(entity: string, field: string, by: number | bigint = 1): void {
    if (typeof by === "number" && !Number.isSafeInteger(by)) {
      throw new CrdtError("invalid", "a counter counts in whole numbers")
    }
    this.#write(entity, field, COUNTER, BigInt(by))
  }

  /** Appends an update of Yjs, version 1, to a text. */
  pushText(entity: string, field: string, update: Uint8Array): void {
    this.#write(entity, field, TEXT, update)
  }

  /** Replaces all updates of a text that were seen by one that contains them. */
  squashText(entity: string, field: string, all: Uint8Array): void {
    this.#write(entity, field, TEXT, all, Verb.Squash)
  }

  /** Takes everything out of a field that was seen. */
  unset(entity: string, field: string, kind: Kind = "lww"): void {
    this.#enter(entity)
    this.#core.unset(field, kindNumber(kind))
    this.#wrote()
  }

  /** Makes an entity that has no fields yet. */
  create(entity: string): void {
    this.#fate(entity, Fate.Create)
  }

  /** Deletes an entity; an edit at the same time revives it as a whole. */
  delete(entity: string): void {
    this.#fate(entity, Fate.Delete)
  }

  /** Deletes an entity so that edits at the same time do not revive it. */
  bury(entity: string): void {
    this.#fate(entity, Fate.Bury)
  }

  /** Takes out everything of an entity, also what a deletion keeps for who revives it. */
  erase(entity: string): void {
    this.#fate(entity, Fate.Erase)
  }

  // Reading. What is deleted reads as if it had never been.

  has(entity: string): boolean {
    return this.#core.has(entity)
  }

  /** The ids of the entities, in order: of all, or of those that begin with `prefix`, as `note/`. */
  ids(prefix = ""): string[] {
    return this.#core.ids(prefix)
  }

  /** How many entities there are. */
  size(prefix = ""): number {
    return this.#core.size(prefix)
  }

  /** The value of a field in which the last writer wins. */
  get(entity: string, field: string): Value | undefined {
    return this.#core.get(entity, field, LWW) as Value | undefined
  }

  /** What was written at the same time as the value that won, the newest first. */
  conflicts(entity: string, field: string): Written[] {
    return readWritten(this.#core.conflicts(entity, field))
  }

  /** The elements of a set, or the values of a multi-value field, in their order. */
  values(entity: string, field: string, kind: "or-set" | "grow-set" | "multi" = "or-set"): Value[] {
    return this.#core.values(entity, field, kindNumber(kind)) as Value[]
  }

  /** Whether a set has an element. */
  contains(entity: string, field: string, element: Value, kind: "or-set" | "grow-set" = "or-set"): boolean {
    if (typeof element === "string") return this.#core.containsText(entity, field, kindNumber(kind), element)
    return this.values(entity, field, kind).some(value => isSame(value, element))
  }

  /** The sum of a counter; 0 where nobody counted. */
  count(entity: string, field: string): number | bigint {
    return (this.#core.get(entity, field, COUNTER) as number | bigint | undefined) ?? 0
  }

  /** The greatest value that was written. */
  max(entity: string, field: string): Value | undefined {
    return this.#core.get(entity, field, MAX) as Value | undefined
  }

  /** The least value that was written. */
  min(entity: string, field: string): Value | undefined {
    return this.#core.get(entity, field, MIN) as Value | undefined
  }

  /** The updates of Yjs that make up a text, the oldest first. */
  textUpdates(entity: string, field: string): Uint8Array[] {
    return this.#core.textUpdates(entity, field)
  }

  /** The names of these updates, in the same order. */
  textNames(entity: string, field: string): string[] {
    return this.#core.textNames(entity, field)
  }

  /** An entity as a plain object, without its texts; undefined if it is not there. */
  entity(entity: string): Fields | undefined {
    const json = this.#core.object(entity)
    return json === undefined ? undefined : parse(json)
  }

  /** All entities as plain objects by their ids, or those that begin with `prefix`. */
  toObject(prefix = ""): { [entity: string]: Fields } {
    return parse(this.#core.objects(prefix))
  }

  /** The same for `JSON.stringify`: big numbers and bytes are text. */
  toJSON(): unknown {
    return parsePlain(this.#core.objects(""))
  }

  /** The fields of an entity, with their kinds. */
  fields(entity: string): { name: string; kind: Kind }[] {
    const rows = chunks(this.#core.fields(entity), 2) as [string, number][]
    return rows.map(([name, kind]) => ({ name, kind: kindOf(kind) }))
  }

  /** All entries of a field, the newest first, whatever its kind makes of them. */
  entries(entity: string, field: string, kind: Kind): Written[] {
    return readWritten(this.#core.entries(entity, field, kindNumber(kind)))
  }

  /** What a field reads as, with who wrote that: the winner, the extreme, or else the newest entry. */
  blame(entity: string, field: string, kind: Kind = "lww"): Written | undefined {
    return readWritten(this.#core.blame(entity, field, kindNumber(kind)))[0]
  }

  /** Who deleted an entity last, and when; also while it is alive, if that is still known. */
  deleted(entity: string): Stamp | undefined {
    const parts = this.#core.deleted(entity)
    return parts.length === 0 ? undefined : readStamp(parts)
  }

  // What travels, and what is kept.

  /** The one encoding of this state. */
  snapshot(): Uint8Array {
    return this.#core.snapshot()
  }

  /** Joins with another document, or with the snapshot of one. */
  merge(other: Doc | Uint8Array): void {
    if (other instanceof Doc) this.#core.mergeWith(other.#core)
    else this.#core.merge(other)
    this.#emit({ local: false, entities: undefined })
  }

  /** Takes in a batch. Which were taken in before, and in which order, makes no difference. */
  apply(batch: Batch | Uint8Array): void {
    if (this.#listeners.size === 0 && !(batch instanceof Batch)) return this.#core.applyBytes(batch)
    const read = batch instanceof Batch ? batch : Batch.decode(batch)
    this.#core.apply(read.core)
    if (this.#listeners.size > 0) this.#emit({ local: false, entities: read.entities() })
  }

  /** The oldest operations that were written here and not taken yet, to be sealed by whoever takes them. */
  takeBatch(): Batch | undefined {
    const batch = this.#core.takeBatch()
    return batch && new Batch(batch)
  }

  /** All operations that were written here and not taken yet, as plain batches, each chained to the one before. */
  takeBatches(): Uint8Array[] {
    const taken: Uint8Array[] = []
    for (let batch = this.#core.takeBatch(); batch; batch = this.#core.takeBatch()) {
      const bytes = batch.encode(this.#lastHash)
      batch.free()
      this.#lastHash = hashOf(bytes)
      taken.push(bytes)
    }
    return taken
  }

  /** Where the writer is; with a snapshot all that a next session needs. */
  writer(): WriterState {
    const { id, nextSeq, lastHlc } = this.#core
    return { replica: id, nextSeq, lastHlc, lastHash: this.#lastHash }
  }

  /** The greatest stamp of the document. */
  get latest(): bigint {
    return this.#core.latest
  }

  /** The stamp at which it was compacted last. */
  get horizon(): bigint {
    return this.#core.horizon
  }

  /** The replicas of which something is known, with the greatest stamp received of each. */
  replicas(): Map<string, bigint> {
    return new Map(chunks(this.#core.replicas(), 2) as [string, bigint][])
  }

  /** Raises the horizon and forgets replicas that retired: where a session says so, and at the same place everywhere. */
  compact(horizon: bigint, retired: readonly string[] = []): void {
    this.#core.compact(horizon, fromHex(retired.join("")))
  }

  /** Takes out what is dead by deletions up to the horizon; one replica does this for all. */
  sweep(): void {
    this.#core.sweep(this.#now())
  }

  /** Has every change told to `listener`, after it happened. Returns what ends that. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Gives the memory back; nothing works after. Otherwise it goes when nobody refers to the document any more. */
  free(): void {
    this.#listeners.clear()
    this.#core.free()
  }

  #setAll(entity: string, fields: Inputs): void {
    this.#enter(entity)
    for (const name in fields) {
      const value = fields[name] as Input | readonly Input[]
      const kind = this.#core.kindOf(name) ?? LWW
      const field = this.#field(name, kind)
      if (Array.isArray(value)) for (const element of value as Input[]) this.#put(Verb.Write, field, element)
      else this.#put(Verb.Write, field, value as Input)
    }
  }

  #write(entity: string, field: string, kind: number, value: Input, verb = Verb.Write): void {
    this.#enter(entity)
    this.#put(verb, this.#field(field, kind), value)
    this.#wrote()
  }

  #put(verb: Verb, field: number, value: Input): void {
    const core = this.#core
    switch (typeof value) {
      case "string":
        return core.putText(verb, field, value)
      case "number":
        return core.putNumber(verb, field, value)
      case "boolean":
        return core.putBool(verb, field, value)
      case "bigint":
        if (BigInt.asIntN(64, value) !== value) throw new CrdtError("invalid", "a whole number has 64 bits")
        return core.putInt(verb, field, value)
      default:
        if (value === null) return core.putBool(verb, field)
        if (value instanceof Uint8Array) return core.putBytes(verb, field, value)
        if (value instanceof Float) return core.putFloat(verb, field, value.value)
        if (value instanceof Unknown) return core.putOther(verb, field, value.payload)
        throw new CrdtError("invalid", `a document does not hold ${describe(value)}`)
    }
  }

  #fate(entity: string, fate: Fate): void {
    this.#enter(entity)
    this.#core.fate(fate)
    this.#wrote()
  }

  #enter(entity: string): void {
    this.#core.enter(entity, this.#inChange ? 0 : this.#now())
    if (this.#listeners.size > 0) this.#touched.add(entity)
  }

  /** The core's number of a field. Names are remembered, so that they cross the boundary once. */
  #field(name: string, kind: number): number {
    const known = this.#fields.get(kind)?.get(name)
    if (known !== undefined) return known
    if (this.#names === NAMES_MAX) return this.#spareField(name, kind)
    const number = this.#core.field(name, kind)
    const names = this.#fields.get(kind) ?? new Map<string, number>()
    this.#fields.set(kind, names.set(name, number))
    this.#names++
    return number
  }

  #spareField(name: string, kind: number): number {
    if (this.#spare === undefined) this.#spare = this.#core.field(name, kind)
    else this.#core.renameField(this.#spare, name, kind)
    return this.#spare
  }

  #wrote(): void {
    if (!this.#inChange) this.#tell()
  }

  /** Tells what was written here. */
  #tell(): void {
    if (this.#touched.size === 0) return
    const entities = this.#touched
    this.#touched = new Set()
    this.#emit({ local: true, entities })
  }

  /** Tells all listeners, also when one throws; that is thrown then. */
  #emit(change: Change): void {
    const errors: unknown[] = []
    for (const listener of [...this.#listeners]) {
      try {
        listener(change)
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }
}

function describe(value: unknown): string {
  return value === undefined ? "undefined" : Object.prototype.toString.call(value)
}

function isSame(a: Value, b: Value): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, at) => byte === b[at])
  }
  return Object.is(a, b)
}
