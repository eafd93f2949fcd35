// What is stored of documents, also before anybody asks.

import type { Saved, Store } from "../store.js"
import { keysKey } from "./record.js"

/** Documents that are read while the engine comes, at most: what was read waits in memory. */
const EARLY_MAX = 3

/** What is stored of a document, if anything is, and its keys. */
export type Stored = readonly [saved: Saved | undefined, keys: Uint8Array | undefined]

/** Reads what is stored of a document. */
export function storedOf(store: Store, id: string): Promise<Stored> {
  return Promise.all([store.load(id), store.meta(keysKey(id)) as Promise<Uint8Array | undefined>])
}

/** The same of the first of these documents, before anybody asks. */
export function readEarly(store: Store, ids: Iterable<string>): Map<string, Promise<Stored>> {
  const early = new Map([...ids].slice(0, EARLY_MAX).map(id => [id, storedOf(store, id)]))
  // Who asks is told what went wrong.
  for (const read of early.values()) read.catch(() => undefined)
  return early
}
