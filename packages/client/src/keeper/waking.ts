import type { WakeUp } from "../push.js"
import type { Session } from "../session.js"
import type { Store } from "../store.js"
import type { Opens } from "./open.js"
import { WAKE_UP_KEY } from "./record.js"
import type { Term } from "./term.js"

/** What waking is wired to. */
interface WakingParts {
  readonly store: Store
  readonly session: Session
  readonly opens: Opens
  readonly term: Term
  turn(): void
}

/** How the relay wakes this device. It is kept, so that it is said again whenever a document is opened, also by the service worker. */
export class Waking {
  readonly #parts: WakingParts
  /** Undefined: it does not. */
  #by: WakeUp | undefined

  constructor(parts: WakingParts, by: WakeUp | undefined) {
    this.#parts = parts
    this.#by = by
  }

  /** The engine has a document from here on. */
  begin(id: string): void {
    if (this.#by) this.#say(id)
  }

  async change(by: WakeUp | undefined): Promise<void> {
    const { store, opens, term, turn } = this.#parts
    await store.save({ meta: { [WAKE_UP_KEY]: by } })
    term.check()
    this.#by = by
    for (const id of opens.keys()) this.#say(id)
    turn()
  }

  #say(id: string): void {
    const { endpoint, key, secret } = this.#by ?? {}
    this.#parts.session.wakeBy(id, endpoint, key, secret)
  }
}
