import { ClientError, clientError } from "../error.js"
import { errorOf, type Answer, type Post, type ToLeader } from "./message.js"

/** Posts, and questions, that may wait in a tab. */
const WAITING_MAX = 10_000

interface Pending<T> {
  resolve: (value: T) => void
  reject: (why: ClientError) => void
}

/** What a tab has said and is not answered yet. It is said again to each that leads. */
export class Outbox {
  readonly #tab: string
  readonly #send: (message: ToLeader) => void
  #term: string | undefined
  #seq = 0
  #question = 0
  readonly #posts = new Map<number, Pending<void> & { post: Post }>()
  readonly #questions = new Map<number, Pending<unknown> & { question: unknown }>()

  constructor(tab: string, send: (message: ToLeader) => void) {
    this.#tab = tab
    this.#send = send
  }

  /** Posts that are not stored yet. */
  get waiting(): number {
    return this.#posts.size
  }

  /** These, in their order. */
  get unstored(): Post[] {
    return [...this.#posts.values()].map(({ post }) => post)
  }

  /** The number of the last post. */
  get posted(): number {
    return this.#seq
  }

  post(body: unknown): Promise<void> {
    return this.#hold(this.#posts, pending => {
      const post = { seq: this.#seq + 1, body: clone(body) }
      this.#posts.set(++this.#seq, { ...pending, post })
      this.#sendPosts([post])
    })
  }

  ask(question: unknown): Promise<unknown> {
    return this.#hold(this.#questions, pending => {
      const copy = clone(question)
      this.#questions.set(++this.#question, { ...pending, question: copy })
      this.#sendQuestion(this.#question, copy)
    })
  }

  /** Somebody leads from here on: everything is said again. Returns whether that is news. */
  led(term: string): boolean {
    if (this.#term === term) return false
    this.#term = term
    this.#sendPosts(this.unstored)
    for (const [id, { question }] of this.#questions) this.#sendQuestion(id, question)
    return true
  }

  /** Nobody leads for the moment. */
  unled(): void {
    this.#term = undefined
  }

  /** Everything up to this number is stored. */
  stored(last: number): void {
    for (const [seq, { resolve }] of this.#posts) {
      if (seq > last) return
      this.#posts.delete(seq)
      resolve()
    }
  }

  /** An answer came; one of who led before is not what counts now. */
  answered(term: string, id: number, answer: Answer): void {
    if (term !== this.#term) return
    const asked = this.#questions.get(id)
    this.#questions.delete(id)
    if ("value" in answer) asked?.resolve(answer.value)
    else asked?.reject(errorOf(answer.failure))
  }

  close(): void {
    const why = new ClientError("closed", "the tab has left")
    for (const { reject } of [...this.#posts.values(), ...this.#questions.values()]) reject(why)
    this.#posts.clear()
    this.#questions.clear()
  }

  #hold<T>(waiting: ReadonlyMap<number, unknown>, begin: (pending: Pending<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (waiting.size >= WAITING_MAX) throw new ClientError("unavailable", `${WAITING_MAX} messages wait for an answer`)
      begin({ resolve, reject })
    })
  }

  #sendPosts(posts: readonly Post[]): void {
    if (this.#term && posts.length > 0) this.#send({ type: "post", term: this.#term, tab: this.#tab, posts })
  }

  #sendQuestion(id: number, question: unknown): void {
    if (this.#term) this.#send({ type: "ask", term: this.#term, tab: this.#tab, id, question })
  }
}

/** A value as it is now, and as another tab would get it. */
function clone(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch (error) {
    throw clientError("a message to another tab", error)
  }
}
