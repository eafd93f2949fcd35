import { CrdtError } from "./error.js"

/**
 * A number that is not whole, whatever it looks like: `new Float(5)` is written as 5.0. A plain `5` is whole, unless a
 * schema says otherwise.
 */
export class Float {
  constructor(readonly value: number) {}
}

/** A value of a type that only a later version knows. It can be written back as it is. */
export class Unknown {
  constructor(readonly payload: Uint8Array) {}
}

/** What a document holds. Whole numbers that a `number` does not hold exactly are read as `bigint`. */
export type Value = null | boolean | number | bigint | string | Uint8Array | Unknown

/** What can be written. */
export type Input = Value | Float

/** Makes an unknown value for the core. */
export function unknown(payload: Uint8Array): Unknown {
  return new Unknown(payload)
}

/** How the entries of a field are read. */
export type KindName = keyof typeof KINDS

/** A kind: its name, or the number of one that this version does not know. */
export type Kind = KindName | number

const KINDS = {
  lww: 1,
  "grow-set": 2,
  "or-set": 3,
  max: 4,
  min: 5,
  counter: 6,
  multi: 7,
  text: 8,
} as const

const NAMES = new Map<number, KindName>(Object.entries(KINDS).map(([name, kind]) => [kind, name as KindName]))

/** The number of a kind. */
export function kindNumber(kind: Kind): number {
  const number = typeof kind === "number" ? kind : KINDS[kind]
  if (Number.isInteger(number) && number >= 0 && number < 256) return number
  throw new CrdtError("invalid", `no kind of fields is called ${String(kind)}`)
}

/** The kind of a number. */
export function kindOf(number: number): Kind {
  return NAMES.get(number) ?? number
}

/** An entity as a plain object: of sets and multi-value fields all values, of counters the sum. */
export interface Fields {
  [field: string]: Value | Value[]
}

/** Reads what the core writes of entities. */
export function parse<T>(json: string): T {
  return JSON.parse(json, json.startsWith("\n") ? revive : undefined) as T
}

/** The same with nothing that JSON does not have: big numbers as decimal digits, bytes as hexadecimal ones, no number as null. */
export function parsePlain(json: string): unknown {
  return JSON.parse(json, json.startsWith("\n") ? flatten : undefined)
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== "string" || value[0] !== "\0") return value
  const rest = value.slice(2)
  switch (value[1]) {
    case "i":
      return BigInt(rest)
    case "f":
      return rest === "NaN" ? NaN : rest === "inf" ? Infinity : -Infinity
    case "b":
      return fromHex(rest)
    case "u":
      return new Unknown(fromHex(rest))
    default:
      return rest
  }
}

function flatten(_key: string, value: unknown): unknown {
  if (typeof value !== "string" || value[0] !== "\0") return value
  return value[1] === "f" ? null : value.slice(2)
}

/** Bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("")
}

/** Bytes from hexadecimal digits. */
export function fromHex(hex: string): Uint8Array {
  if (hex.length % 2 !== 0 || /[^0-9a-f]/i.test(hex)) throw new CrdtError("invalid", "these are no hexadecimal digits")
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16))
}
