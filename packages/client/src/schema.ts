import { ClientError } from "./error.js"

/** How what is written at the same time comes together; see the guide of documents. */
export type FieldKind = "lww" | "or-set" | "grow-set" | "max" | "min" | "counter" | "multi" | "text"

/** A type of values. */
export type ValueType = "bool" | "int" | "float" | "text" | "bytes"

/** A value of a field. Whole numbers that a `number` does not hold exactly are `bigint`. */
export type Value = null | boolean | number | bigint | string | Uint8Array

declare const VALUE: unique symbol

/** A field of an entity; `T` is what it holds, or what is in the set that it is. Made by {@link t}. */
export interface Field<K extends FieldKind = FieldKind, T = unknown> {
  readonly kind: K
  readonly type: ValueType
  /** What it reads as where nobody wrote it. */
  readonly initial: T | undefined
  /** The collection that it refers to. */
  readonly refersTo?: string
  readonly [VALUE]?: T
}

/** The fields of a collection's entities. */
export interface Fields {
  readonly [field: string]: Field
}

/** Collections by name, each with the fields of its entities. */
export interface Collections {
  readonly [collection: string]: Fields
}

/** What documents of an application look like. Made by {@link defineSchema}. */
export interface Schema<S extends Collections = Collections> {
  readonly collections: S
}

type One<T> = Field<"lww", T>

function one<T>(type: ValueType, initial: T): One<T> {
  return { kind: "lww", type, initial }
}

/** Types of fields. Each reads as a first value where nobody wrote it, so that fields can be added later. */
export const t = {
  string: (initial = ""): One<string> => one("text", initial),
  /** A whole number. */
  int: (initial = 0): One<number> => one("int", initial),
  float: (initial = 0): One<number> => one("float", initial),
  bool: (initial = false): One<boolean> => one("bool", initial),
  bytes: (): One<Uint8Array> => one("bytes", new Uint8Array()),
  /** The id of an entity of another collection; empty where there is none. */
  ref: (collection: string): One<string> => ({ ...one("text", ""), refersTo: collection }),
  /** May be undefined; setting it to that takes it out. */
  optional: <T>(of: One<T>): One<T | undefined> => ({ ...of, initial: undefined }) as One<T | undefined>,
  /** A set; what one person adds while another removes it stays. */
  set: <T>(of: One<T>): Field<"or-set", T> => ({ ...of, kind: "or-set", initial: undefined }),
  /** A set that nothing is ever taken out of. */
  growSet: <T>(of: One<T>): Field<"grow-set", T> => ({ ...of, kind: "grow-set", initial: undefined }),
  /** All values that were written at the same time. */
  multi: <T>(of: One<T>): Field<"multi", T> => ({ ...of, kind: "multi", initial: undefined }),
  /** The greatest value that was ever set. */
  max: <T extends number | string>(of: One<T>): Field<"max", T> => ({ ...of, kind: "max" }),
  /** The least value that was ever set. */
  min: <T extends number | string>(of: One<T>): Field<"min", T> => ({ ...of, kind: "min" }),
  /** A sum of what everybody adds. */
  counter: (): Field<"counter", number> => ({ kind: "counter", type: "int", initial: 0 }),
  /** Text that several people edit at the same time; see `@selvedge/client/text`. */
  text: (): Field<"text", string> => ({ kind: "text", type: "bytes", initial: undefined }),
} as const

/** Members of documents, which no collection can be called: those that applications use, then others. */
const TAKEN = [
  "id", "title", "isEncrypted", "presence", "canUndo", "canRedo", "all", "live", "subscribe", "transaction", "undo", "redo", "history",
  "rights", "isForgotten", "invite", "members", "remove", "saved", "synced", "inspect", "export", "state", "then", "close",
  "typed", "entity", "ids", "write", "begin", "hold", "hear", "forget", "showPeers",
] // prettier-ignore

/** Members of rows, which no field can be called. */
const ROW = ["id", "exists"]

/** Says what documents look like. It throws as `invalid` where a name cannot be one. */
export function defineSchema<const S extends Collections>(collections: S): Schema<S> {
  for (const [collection, fields] of Object.entries(collections)) {
    if (!isName(collection) || TAKEN.includes(collection)) refuse("collection", collection)
    for (const field of Object.keys(fields)) if (!isName(field) || ROW.includes(field)) refuse("field", field)
  }
  return { collections }
}

/** Whether it can be a name. Every object has members such as `constructor`: they would be taken for what somebody wrote. */
function isName(name: string): boolean {
  return /^[A-Za-z][\w-]{0,63}$/.test(name) && !(name in Object.prototype)
}

function refuse(what: string, name: string): never {
  throw new ClientError("invalid", `no ${what} can be called "${name}"`)
}
