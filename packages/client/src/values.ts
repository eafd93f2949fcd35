// Values as the engine writes them: JSON, with what JSON does not have as text that begins with U+0000 and a letter.

import type { Value } from "./schema.js"

/** A field as it is read: of sets and of values written at the same time all, of a counter the sum. */
export type Content = Value | Unknown | readonly (Value | Unknown)[]

/** A value of a type that only a later version knows. */
export class Unknown {
  constructor(readonly payload: Uint8Array) {}
}

/** Makes an unknown value for the engine. */
export function unknown(payload: Uint8Array): Unknown {
  return new Unknown(payload)
}

/** Reads what the engine writes of entities. */
export function parse<T>(json: string): T {
  // The first character says whether there is anything special.
  return JSON.parse(json, json.startsWith("\n") ? revive : undefined) as T
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

/** Whether two fields read the same. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  const isList = Array.isArray(a) && Array.isArray(b)
  if (!isList && !(a instanceof Uint8Array && b instanceof Uint8Array)) return false
  return a.length === b.length && a.every((item: unknown, at: number) => isSame(item, b[at]))
}

/** Bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("")
}

/** Bytes from hexadecimal digits. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16))
}

/** Bytes from base64url; none where it is no such text. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"))
    return Uint8Array.from(binary, char => char.charCodeAt(0))
  } catch {
    return new Uint8Array()
  }
}

/** Bytes in base64url without padding. */
export function toBase64(bytes: Uint8Array): string {
  const binary = Array.from(bytes, byte => String.fromCharCode(byte)).join("")
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}
