import type { Session } from "../session.js"

/** The relay's clock, as far as it was heard. */
export class RelayClock {
  readonly #session: Session
  #aheadMs = 0
  #isHeard = false

  constructor(session: Session) {
    this.#session = session
  }

  /** How far it is before this device's. */
  get aheadMs(): number {
    return this.#aheadMs
  }

  /** Whether it was ever heard. */
  get isHeard(): boolean {
    return this.#isHeard
  }

  /** Has the engine do what is due. */
  tick(): void {
    const now = Date.now()
    this.#session.tick(now)
    this.#aheadMs = this.#session.relayMs - now
  }

  heard(): void {
    this.#isHeard = true
  }

  /** When something ends that the relay's clock decides, by this device's: a wrong one would end it at once, or never. */
  byOwn(ends: number | undefined): number | undefined {
    return ends === undefined ? undefined : ends - this.#aheadMs
  }
}
