// All of a document, as the engine hands it out: in few pieces, since each that crosses from it costs as much as reading what is in it.

import type { Entity, Text } from "./entity.js"
import { ClientError } from "./error.js"
import { parse, type Content } from "./values.js"

/** `Session.whole` says what is in it. */
export type Whole = readonly [
  json: string,
  fields: readonly string[],
  replicas: readonly string[],
  numbers: Uint32Array,
  updates: Uint8Array,
]

/** Numbers that a text begins with, and of each of its updates. */
const [OF_TEXT, OF_UPDATE] = [3, 4]

/** The entities, by id and in the order of these. */
export function readWhole(whole: Whole): (readonly [id: string, entity: Entity])[] {
  // A tab may have been told by one that has another version of this package.
  if (!Array.isArray(whole)) throw new ClientError("outdated", "another tab has another version of the application")
  const list = parse<(string | Record<string, Content>)[]>(whole[0])
  const texts = textsOf(whole)
  return Array.from({ length: list.length / 2 }, (_, at) => {
    const [id, fields] = [list[2 * at] as string, list[2 * at + 1] as Record<string, Content>]
    return [id, { fields, texts: texts.get(at) ?? {} }]
  })
}

/** The texts of entities, by where these are in the list. */
function textsOf(whole: Whole): Map<number, Record<string, Text>> {
  const [, fields, , numbers] = whole
  const texts = new Map<number, Record<string, Text>>()
  let byte = 0
  for (let at = 0; at < numbers.length;) {
    const [entity, field, count] = [numbers[at]!, fields[numbers[at + 1]!]!, numbers[at + 2]!]
    const first = at + OF_TEXT
    const known = texts.get(entity) ?? {}
    texts.set(entity, known)
    // Whoever may write may call a field `__proto__`: defined like this, it is one like others.
    const value = new Wrapped(whole, { first, count, byte })
    Object.defineProperty(known, field, { value, enumerable: true, configurable: true, writable: true })
    at = first + OF_UPDATE * count
    for (let update = first; update < at; update += OF_UPDATE) byte += numbers[update + 3]!
  }
  return texts
}

/** Where a text is in the whole: its first update, how many it has, and their first byte. */
interface Place {
  readonly first: number
  readonly count: number
  readonly byte: number
}

/** A text that is taken out when it is read for the first time: of thousands that are opened together, most are read later. */
class Wrapped implements Text {
  #text: Text | undefined
  /** Let go once it was read, or all would be kept twice. */
  #whole: Whole | undefined
  readonly #place: Place

  constructor(whole: Whole, place: Place) {
    this.#whole = whole
    this.#place = place
  }

  get names(): readonly string[] {
    return this.#unwrap().names
  }

  get updates(): readonly Uint8Array[] {
    return this.#unwrap().updates
  }

  #unwrap(): Text {
    this.#text ??= unwrap(this.#whole!, this.#place)
    this.#whole = undefined
    return this.#text
  }
}

function unwrap([, , replicas, numbers, bytes]: Whole, { first, count, byte }: Place): Text {
  const [names, updates]: [string[], Uint8Array[]] = [[], []]
  for (let at = first; at < first + OF_UPDATE * count; at += OF_UPDATE) {
    const [replica, high, low, length] = numbers.subarray(at, at + OF_UPDATE) as unknown as [number, number, number, number]
    names.push(`${replicas[replica]}:${(BigInt(high) << 32n) + BigInt(low)}`)
    // With bytes of its own: a part of something large is all of that where it is stored, or told to another tab.
    updates.push(bytes.slice(byte, byte + length))
    byte += length
  }
  return { names, updates }
}
