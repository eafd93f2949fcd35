import { ClientError } from "../error.js"
import { merge } from "./merge.js"
import type { Transaction } from "../store.js"

/** Transactions that may wait; each is in memory already. */
const WAITING_MAX = 10_000

interface Waiting {
  transaction: Transaction
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * Transactions on their way to the disk, in order. What comes while the disk is busy goes to it together; if that fails, each
 * is tried by itself. Behind one that failed nothing is stored of its replicas, or there would be a hole.
 */
export class Queue {
  readonly #write: (transaction: Transaction) => Promise<void>
  #waiting: Waiting[] = []
  #isBusy = false
  /** Replicas with a hole, and why. */
  readonly #broken = new Map<string, unknown>()

  constructor(write: (transaction: Transaction) => Promise<void>) {
    this.#write = write
  }

  push(transaction: Transaction): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new ClientError("unavailable", `${WAITING_MAX} transactions wait to be stored`))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ transaction: merge([transaction]), resolve, reject })
      if (!this.#isBusy) void this.#drain()
    })
  }

  /** The replica is about to be read anew: it goes on behind what is stored, once all that waits behind the hole is refused. */
  async mend(replica: string): Promise<void> {
    if (!this.#broken.has(replica)) return
    await this.push({}).catch(() => undefined)
    this.#broken.delete(replica)
  }

  async #drain(): Promise<void> {
    this.#isBusy = true
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      await this.#writeGroup(group)
    }
    this.#isBusy = false
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const isWhole = group.every(({ transaction }) => this.#hole(transaction) === undefined)
    if (isWhole && group.length > 1) {
      try {
        await this.#write(merge(group.map(({ transaction }) => transaction)))
        for (const { resolve } of group) resolve()
        return
      } catch {}
    }
    for (const one of group) await this.#writeOne(one)
  }

  async #writeOne({ transaction, resolve, reject }: Waiting): Promise<void> {
    const hole = this.#hole(transaction)
    if (hole) return reject(hole.why)
    try {
      await this.#write(transaction)
      for (const replica of Object.keys(transaction.replicas ?? {})) this.#broken.delete(replica)
      resolve()
    } catch (error) {
      for (const replica of Object.keys(transaction.replicas ?? {})) this.#broken.set(replica, error)
      reject(error)
    }
  }

  /** Why a transaction must not be stored: it would come behind a hole. A beginning covers it, and so does an end. */
  #hole({ replicas = {} }: Transaction): { why: unknown } | undefined {
    for (const [replica, changes] of Object.entries(replicas)) {
      const begins = changes?.some(change => "begin" in change)
      if (changes && !begins && this.#broken.has(replica)) return { why: this.#broken.get(replica) }
    }
    return undefined
  }
}
