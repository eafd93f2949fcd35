import type { Store, Transaction } from "./store.js"
import { merge } from "./store/merge.js"

interface Waiting {
  readonly transaction: Transaction
  /** Called when it is stored. */
  readonly done: () => void
}

/**
 * What the engine hands out, on its way to the disk, in order. What could not be stored is kept and goes before what comes next: the
 * engine has it in memory, and says it once.
 */
export class Journal {
  readonly #store: Store
  #waiting: Waiting[] = []
  #held: Waiting[] = []
  #next: Promise<void> | undefined
  #running: Promise<unknown> = Promise.resolve()

  constructor(store: Store) {
    this.#store = store
  }

  /** Whether something could not be stored so far. */
  get isBehind(): boolean {
    return this.#held.length > 0
  }

  /** Stores a transaction behind all before it, and then calls `done`. What comes while the disk is busy is one. */
  save(transaction: Transaction, done: () => void): Promise<void> {
    this.#waiting.push({ transaction, done })
    return this.#start()
  }

  /** Resolves when nothing is on its way to the disk any more, stored or not. */
  async idle(): Promise<void> {
    for (let last; last !== this.#running;) await (last = this.#running)
  }

  /** Tries again to store what could not be. */
  async retry(): Promise<void> {
    if (this.isBehind) await this.#start()
  }

  #start(): Promise<void> {
    if (!this.#next) {
      this.#next = this.#running.then(() => this.#write())
      this.#running = this.#next.catch(() => undefined)
    }
    return this.#next
  }

  async #write(): Promise<void> {
    this.#next = undefined
    const isAgain = this.isBehind
    const group = [...this.#held, ...this.#waiting]
    this.#waiting = []
    this.#held = group
    const whole = merge(group.map(({ transaction }) => transaction))
    // A store refuses what would come behind a hole until the replica is read.
    if (isAgain) for (const replica of Object.keys(whole.replicas ?? {})) await this.#store.load(replica)
    await this.#store.save(whole)
    this.#held = []
    for (const { done } of group) done()
  }
}
