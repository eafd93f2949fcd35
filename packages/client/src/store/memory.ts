import { ClientError, clientError } from "../error.js"
import type { Change, Saved, Store, Transaction } from "../store.js"
import { merge, outcome } from "./merge.js"

/** A store that is gone with the tab. */
export class MemoryStore implements Store {
  readonly isVolatile = true
  readonly found = "empty"
  readonly #replicas = new Map<string, Saved>()
  readonly #meta = new Map<string, unknown>()
  #isClosed = false

  async claim(): Promise<void> {
    this.#checkOpen()
  }

  async save(transaction: Transaction): Promise<void> {
    this.#checkOpen()
    const { replicas = {}, meta = {} } = merge([transaction])
    const values = Object.entries(meta).map(([key, value]) => [key, clone(value)] as const)
    for (const [replica, changes] of Object.entries(replicas)) this.#put(replica, changes)
    for (const [key, value] of values) {
      if (value === undefined) this.#meta.delete(key)
      else this.#meta.set(key, value)
    }
  }

  #put(replica: string, changes: readonly Change[] | undefined): void {
    if (!changes) return void this.#replicas.delete(replica)
    const { begin, appended } = outcome(changes)
    const saved = (!begin && this.#replicas.get(replica)) || { begin: begin ?? new Uint8Array(), appended: [] }
    saved.appended.push(...appended)
    this.#replicas.set(replica, saved)
  }

  async load(replica: string): Promise<Saved | undefined> {
    this.#checkOpen()
    return structuredClone(this.#replicas.get(replica))
  }

  async list(): Promise<string[]> {
    this.#checkOpen()
    return [...this.#replicas.keys()].sort()
  }

  async meta(key: string): Promise<unknown> {
    this.#checkOpen()
    return structuredClone(this.#meta.get(key))
  }

  async metaKeys(prefix = ""): Promise<string[]> {
    this.#checkOpen()
    return [...this.#meta.keys()].filter(key => key.startsWith(prefix)).sort()
  }

  close(): void {
    this.#isClosed = true
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ClientError("closed", "the store was closed")
  }
}

/** A value as a browser would keep it. */
function clone(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch (error) {
    throw clientError("writing to the store", error)
  }
}
