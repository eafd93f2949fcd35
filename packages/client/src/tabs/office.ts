import { clientError, isFinal, type ClientError } from "../error.js"
import type { Leading, TabsOptions } from "../tabs.js"
import { failure, type Answer, type Post, type ToAll, type ToLeader, type ToTab } from "./message.js"

/** How long it takes until storing is tried again, at first and at most. */
const RETRY_MS = 500
const RETRY_MS_MAX = 30_000

type Send = (message: ToTab | ToAll) => void

/** A tab, as who leads sees it. */
interface Desk {
  /** The number of its last post that is stored. */
  stored: number | undefined
  /** What is not stored yet. A tab's outbox has a bound, and is said once to each that leads. */
  received: Post[]
  /** Its posts are being stored. */
  work: Promise<void> | undefined
}

/** What who leads does, from taking office until another takes over. */
export class Office {
  readonly term = crypto.randomUUID()
  /** Tabs that something is stored of since before. */
  readonly known: readonly string[]
  readonly #leading: Leading
  readonly #send: Send
  readonly #desks = new Map<string, Desk>()
  readonly #ended = new AbortController()

  static async open(options: TabsOptions, send: Send): Promise<Office> {
    const leading = await options.lead()
    try {
      return new Office(leading, (await leading.known?.()) ?? [], send)
    } catch (error) {
      await leading.end?.()
      throw error
    }
  }

  private constructor(leading: Leading, known: readonly string[], send: Send) {
    this.#leading = leading
    this.known = known
    this.#send = send
    const { lost } = leading
    const resign = () => this.resign(clientError("leading", lost?.reason))
    if (lost?.aborted) resign()
    else lost?.addEventListener("abort", resign, { once: true })
  }

  /** Ends when the office does; its reason is why. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  get isVolatile(): boolean {
    return this.#leading.isVolatile ?? false
  }

  announce(): void {
    this.#send({ type: "lead", term: this.term, isVolatile: this.isVolatile })
  }

  tell(body: unknown): void {
    this.#send({ type: "tell", term: this.term, body })
  }

  /** Takes what a tab says; returns whether the tab is new. */
  receive(message: ToLeader): boolean {
    if (message.term !== this.term || this.signal.aborted) return false
    const isNew = !this.#desks.has(message.tab)
    const desk = this.#desk(message.tab)
    if (message.type === "ask") {
      void this.#answer(message.tab, message.id, message.question)
    } else {
      desk.received.push(...message.posts)
      desk.work ??= this.#storeAll(message.tab, desk)
    }
    return isNew
  }

  /** A tab is gone. What came from it is stored first. */
  async gone(tab: string): Promise<void> {
    await this.#desks.get(tab)?.work
    this.#desks.delete(tab)
    if (!this.signal.aborted) await this.#leading.gone?.(tab)
  }

  /** Takes nothing more. */
  resign(why: ClientError): void {
    this.#ended.abort(why)
  }

  /** Leaves the office; what is being stored is stored first. */
  async leave(why: ClientError): Promise<void> {
    this.resign(why)
    await Promise.all([...this.#desks.values()].map(({ work }) => work))
    await this.#leading.end?.()
  }

  #desk(tab: string): Desk {
    const desk = this.#desks.get(tab) ?? { stored: undefined, received: [], work: undefined }
    this.#desks.set(tab, desk)
    return desk
  }

  async #storeAll(tab: string, desk: Desk): Promise<void> {
    for (let wait = RETRY_MS; desk.received.length > 0 && !this.signal.aborted;) {
      try {
        await this.#store(tab, desk)
        wait = RETRY_MS
      } catch (error) {
        const why = clientError("storing what a tab wrote", error)
        this.#send({ type: "stuck", term: this.term, tab, why: failure(why) })
        if (isFinal(why)) this.resign(why)
        else await pause(wait, this.signal)
        wait = Math.min(2 * wait, RETRY_MS_MAX)
      }
    }
    desk.work = undefined
  }

  /** Stores what has come, without what an earlier office has stored. */
  async #store(tab: string, desk: Desk): Promise<void> {
    desk.stored ??= lastBefore(desk.received, await this.#leading.stored(tab))
    const received = desk.received.length
    const posts = next(desk.stored, desk.received)
    if (posts.length > 0) await this.#leading.store(tab, posts)
    desk.stored += posts.length
    desk.received.splice(0, received)
    this.#send({ type: "stored", term: this.term, tab, seq: desk.stored })
  }

  async #answer(tab: string, id: number, question: unknown): Promise<void> {
    const say = (answer: Answer) => this.signal.aborted || this.#send({ type: "answer", term: this.term, tab, id, answer })
    try {
      // Another tab gets a copy; to this one a large document is handed on as it is.
      say({ value: await this.#leading.answer?.(question) })
    } catch (error) {
      say({ failure: failure(error) })
    }
  }
}

/** The number of the last post of a tab that is stored: a tab says again from the first on that is not, also where that was forgotten here. */
function lastBefore(received: readonly Post[], stored: number): number {
  return Math.max(stored, (received[0]?.seq ?? 1) - 1)
}

/** The posts that follow the last stored one, without a gap. */
function next(stored: number, received: readonly Post[]): Post[] {
  let last = stored
  return received.filter(({ seq }) => seq === last + 1 && ++last)
}

/** Waits, but not beyond an end. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener("abort", end)
    if (signal.aborted) end()
  })
}
