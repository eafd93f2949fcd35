import { Journal } from "../journal.js"
import { Past } from "../past.js"
import { remember } from "../reminder.js"
import { takeTransaction, type Session } from "../session.js"
import type { Change, Store } from "../store.js"
import { count, type Open, type Opens } from "./open.js"
import { keysKey, recordKey } from "./record.js"
import type { Term } from "./term.js"

/** What storing is wired to. */
interface StoringParts {
  /** Of the workspace. */
  readonly name: string
  readonly store: Store
  readonly session: Session
  readonly opens: Opens
  readonly term: Term
  /** Something that the engine handed out is stored. */
  onStored(): void
}

/** What is to be stored of documents, and up to which of their transactions that is. */
interface Work {
  readonly replicas: Record<string, Change[]>
  readonly numbers: ReadonlyMap<string, { readonly open: Open | undefined; readonly number: number }>
}

/** What the engine hands out, and what belongs to it, on its way to the disk. */
export class Storing {
  readonly past: Past
  readonly #parts: StoringParts
  readonly #journal: Journal
  /**
   * What goes to the disk with what the engine hands out next. It is put there in one go with the edits that it belongs to: the number of a tab's
   * last post is stored if, and only if, the post is.
   */
  #beside: Record<string, unknown> = {}

  constructor(parts: StoringParts) {
    this.#parts = parts
    this.past = new Past(parts.store)
    this.#journal = new Journal(parts.store)
  }

  /** Whether something could not be stored so far. */
  get isBehind(): boolean {
    return this.#journal.isBehind
  }

  /** Puts a value beside what the engine hands out next. */
  put(key: string, value: unknown): void {
    this.#beside[key] = value
  }

  /** Keeps how entities are. Where there is no room, how they will be goes first. */
  putPast(id: string, ids: Iterable<string>): void {
    if (!this.isBehind) Object.assign(this.#beside, this.past.versions(this.#parts.session, id, ids))
  }

  /** Stores values beside the documents at once, which nobody else has. */
  async keep(meta: Record<string, unknown>): Promise<void> {
    await this.#parts.store.save({ meta })
    this.#remember(meta)
  }

  /** Deletes what is stored of a document: behind what of it is on its way to the disk, or that would be there for good. */
  async forget(id: string, past: readonly string[]): Promise<void> {
    const keys = [...past, recordKey(id), keysKey(id)]
    const meta = Object.fromEntries(keys.map(key => [key, undefined]))
    await this.#journal.save({ replicas: { [id]: undefined }, meta }, () => this.#remember(meta))
  }

  /**
   * Stores what the engine hands out, which it does once: before anything else can go wrong it is in the journal, or that would have a hole. Returns what
   * comes of it, or nothing if there is nothing.
   */
  drain(): Promise<void> | undefined {
    const { replicas, numbers } = this.#takeWork()
    const meta = this.#beside
    this.#beside = {}
    if (numbers.size === 0 && Object.keys(meta).length === 0) return undefined
    const stored = this.#journal.save({ replicas, meta }, () => {
      this.#remember(meta)
      const { opens, session, term, onStored } = this.#parts
      if (term.isOver) return
      for (const [id, { open, number }] of numbers) if (opens.get(id) === open) session.saved(id, number)
      onStored()
    })
    // Who drained may not come to wait for it.
    stored.catch(() => undefined)
    return stored
  }

  /** Tries again to store what could not be. */
  retry(): Promise<void> {
    return this.#journal.retry()
  }

  /** Resolves when nothing is on its way to the disk any more, stored or not. */
  idle(): Promise<void> {
    return this.#journal.idle()
  }

  #takeWork(): Work {
    const { session, opens } = this.#parts
    const replicas: Record<string, Change[]> = {}
    const numbers = new Map<string, { open: Open | undefined; number: number }>()
    for (let next = takeTransaction(session); next; next = takeTransaction(session)) {
      ;(replicas[next.document] ??= []).push(...next.changes)
      count(opens.get(next.document), next.changes)
      numbers.set(next.document, { open: opens.get(next.document), number: next.number })
    }
    for (const id of opens.keys()) {
      const changed = session.takeKeys(id)
      if (changed) this.put(keysKey(id), changed)
    }
    return { replicas, numbers }
  }

  #remember(meta: Record<string, unknown>): void {
    if (!this.#parts.store.isVolatile) remember(this.#parts.name, meta)
  }
}
