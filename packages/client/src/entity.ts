import type { FieldKind, Value } from "./schema.js"
import { isSame, type Content } from "./values.js"

/** The numbers of kinds, as documents have them. */
export const KIND: Readonly<Record<FieldKind, number>> = {
  lww: 1,
  "grow-set": 2,
  "or-set": 3,
  max: 4,
  min: 5,
  counter: 6,
  multi: 7,
  text: 8,
}

/** A change to one entity. */
export type Edit =
  | { readonly verb: "create" | "delete"; readonly id: string }
  | { readonly verb: "unset"; readonly id: string; readonly field: string; readonly kind: FieldKind }
  | FieldEdit
  | TextEdit

/** Writes what the kind of the field makes of a value: sets, adds, raises, counts. `remove` takes out of a set. */
export interface FieldEdit {
  readonly verb: "write" | "remove"
  readonly id: string
  readonly field: string
  readonly kind: Exclude<FieldKind, "text">
  readonly value: Value
  /** Whole numbers are floats as well. */
  readonly isFloat?: boolean
}

/** Appends to a text, or replaces all of it that was seen; `name` is what the update is called until it has one for good. */
export interface TextEdit {
  readonly verb: "push" | "squash"
  readonly id: string
  readonly field: string
  readonly value: Uint8Array
  readonly name: string
}

/** The updates that a text is made of, and what they are called. */
export interface Text {
  readonly names: readonly string[]
  readonly updates: readonly Uint8Array[]
}

/** What is known of an entity. It is never changed, but replaced. */
export interface Entity {
  readonly fields: Readonly<Record<string, Content>>
  readonly texts: Readonly<Record<string, Text>>
}

const NOTHING: Entity = { fields: {}, texts: {} }
const NO_TEXT: Text = { names: [], updates: [] }

/** What an edit makes of an entity; undefined if it is not there. */
export function perform(before: Entity | undefined, edit: Edit): Entity | undefined {
  const entity = before ?? NOTHING
  switch (edit.verb) {
    case "create":
      return entity
    case "delete":
      return undefined
    case "push":
      return withText(entity, edit.field, appended(entity.texts[edit.field] ?? NO_TEXT, edit))
    case "squash":
      return withText(entity, edit.field, { names: [edit.name], updates: [edit.value] })
    case "unset":
      return before && without(before, edit.field)
    case "remove":
      return before && withField(before, edit.field, removed(before.fields[edit.field], edit.value))
    case "write":
      return withField(entity, edit.field, written(entity.fields[edit.field], edit))
  }
}

function written(before: Content | undefined, { kind, value }: FieldEdit): Content {
  switch (kind) {
    case "lww":
      return value
    case "multi":
      return [value]
    case "counter":
      return sum(before, value)
    case "or-set":
    case "grow-set":
      return included(listOf(before), value)
    case "max":
      return wins(value, before) ? value : (before as Content)
    case "min":
      return before === undefined || wins(before, value) ? value : before
  }
}

/** A sum, which is a `bigint` where a `number` would not hold it exactly. What another version wrote there may be no number. */
function sum(before: Content | undefined, by: Value): Content {
  const [one, other] = [before, by].map(part =>
    typeof part === "bigint" || Number.isSafeInteger(part) ? BigInt(part as number) : 0n,
  )
  const whole = BigInt.asIntN(64, one! + other!)
  return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole
}

function wins(value: Content, before: Content | undefined): boolean {
  return before === undefined || before === null || (value as number) > (before as number)
}

function included(list: readonly Content[], value: Value): Content {
  if (list.some(item => isSame(item, value))) return list as Content
  const at = list.findIndex(item => typeof item === typeof value && (item as string) > (value as string))
  return list.toSpliced(at < 0 ? list.length : at, 0, value) as Content
}

function removed(before: Content | undefined, value: Value): Content {
  return listOf(before).filter(item => !isSame(item, value)) as Content
}

export function listOf(content: Content | undefined): readonly Value[] {
  return Array.isArray(content) ? (content as Value[]) : []
}

function appended({ names, updates }: Text, { name, value }: TextEdit): Text {
  return { names: [...names, name], updates: [...updates, value] }
}

function withField(entity: Entity, field: string, content: Content): Entity {
  return { ...entity, fields: { ...entity.fields, [field]: content } }
}

function withText(entity: Entity, field: string, text: Text): Entity {
  return { ...entity, texts: { ...entity.texts, [field]: text } }
}

function without(entity: Entity, field: string): Entity {
  const { [field]: _, ...fields } = entity.fields
  const { [field]: __, ...texts } = entity.texts
  return { fields, texts }
}

/** Whether two states of an entity read the same. */
export function isSameEntity(a: Entity | undefined, b: Entity | undefined): boolean {
  if (a === b) return true
  if (!a || !b) return false
  return hasSame(a.fields, b.fields, isSame) && hasSame(a.texts, b.texts, (a, b) => isSame((a as Text).names, (b as Text).names))
}

function hasSame(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
  equals: (a: unknown, b: unknown) => boolean,
): boolean {
  const [keys, others] = [Object.keys(a), Object.keys(b)]
  return keys.length === others.length && keys.every(key => key in b && equals(a[key], b[key]))
}
