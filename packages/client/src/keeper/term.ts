import { ClientError } from "../error.js"

/** Somebody who waits for something to be so. */
interface Waiter {
  look(): void
  leave(why: ClientError): void
}

/** The time for which this tab leads. What waits for something, or for its time, ends with it. */
export class Term {
  /** Told with what is told of documents: who led before counted otherwise. */
  readonly id = crypto.randomUUID()
  readonly #waiters = new Set<Waiter>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  #isOver = false

  get isOver(): boolean {
    return this.#isOver
  }

  /** Fails as `superseded` where another tab leads. */
  check(): void {
    if (this.#isOver) throw new ClientError("superseded", "another tab leads")
  }

  /** Does something later, unless another tab leads by then. */
  later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#isOver) run()
    }, ms)
    this.#timers.add(timer)
  }

  /** Waits until `look` finds something, but not longer than the limit. It fails where looking does, and when another tab leads. */
  until<T>(look: () => T | undefined, limitMs?: number): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const end = (tell: () => void) => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        tell()
      }
      const waiter: Waiter = {
        look: () => {
          try {
            const found = look()
            if (found !== undefined) end(() => resolve(found))
          } catch (error) {
            end(() => reject(error))
          }
        },
        leave: why => end(() => reject(why)),
      }
      const timer = limitMs === undefined ? undefined : setTimeout(() => end(() => resolve(undefined)), limitMs)
      this.#waiters.add(waiter)
      waiter.look()
    })
  }

  /** Whoever waits for something looks again. */
  look(): void {
    for (const waiter of [...this.#waiters]) waiter.look()
  }

  end(): void {
    this.#isOver = true
    for (const timer of this.#timers) clearTimeout(timer)
    for (const waiter of [...this.#waiters]) waiter.leave(new ClientError("superseded", "another tab leads"))
  }
}
