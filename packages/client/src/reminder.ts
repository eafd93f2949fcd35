// Browsers throw databases away when space is short, and some leave the little that is in `localStorage`. What a device cannot get again from
// anybody lies there as well: its secret, which documents it has, their tokens and keys. What is in the documents comes from the relay.

import { fromHex, toHex } from "./values.js"

/** What is remembered: values beside the replicas, by their keys. */
export type Remembered = Readonly<Record<string, unknown>>

const REMEMBERED = /^(device$|document:|keys:)/

const key = (name: string) => `selvedge:${name}:known`

/** Remembers those of these values that nobody else has; `undefined` forgets one. Where there is no place for it, that is all. */
export function remember(name: string, meta: Remembered): void {
  const own = Object.entries(meta).filter(([key]) => REMEMBERED.test(key))
  if (own.length === 0) return
  try {
    shelf()?.setItem(key(name), JSON.stringify({ ...recall(name), ...Object.fromEntries(own) }, write))
  } catch {}
}

/** What was remembered. */
export function recall(name: string): Remembered {
  try {
    return JSON.parse(shelf()?.getItem(key(name)) ?? "{}", read) as Remembered
  } catch {
    return {}
  }
}

function write(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { bytes: toHex(value) } : value
}

function read(_key: string, value: unknown): unknown {
  const { bytes } = (value ?? {}) as { bytes?: unknown }
  return typeof bytes === "string" ? fromHex(bytes) : value
}

/** None in workers and in Node; a browser where a site may store nothing throws at the mention. */
function shelf(): Shelf | undefined {
  return "window" in globalThis ? (globalThis as { localStorage?: Shelf }).localStorage : undefined
}

type Shelf = { getItem(key: string): string | null; setItem(key: string, value: string): void }
