import { ClientError } from "../error.js"
import type { Session } from "../session.js"
import type { Store } from "../store.js"
import type { DocumentInfo } from "../workspace.js"
import { count, newOpen, type Open, type Opens } from "./open.js"
import { keysKey, recordKey, type Known } from "./record.js"
import { storedOf, type Stored } from "./stored.js"
import type { Storing } from "./storing.js"
import type { Term } from "./term.js"

/** What documents are wired to. */
interface DocumentsParts {
  readonly store: Store
  readonly session: Session
  readonly storing: Storing
  readonly term: Term
  readonly records: Map<string, Known>
  /** What was read before it was asked for; each counts once. */
  readonly early: Map<string, Promise<Stored>>
  readonly opens: Map<string, Open>
  /** What this device is called where members are listed. */
  deviceName(): string
  /** The engine has a document from here on. */
  onBegun(id: string, known: Known): void
  settle(): Promise<void>
  turn(): void
}

/** Documents that are here: known by what is kept of them, and open once they are loaded. */
export class Documents {
  readonly #parts: DocumentsParts
  readonly #records: Map<string, Known>
  readonly #opens: Map<string, Open>
  readonly #loading = new Map<string, Promise<Open>>()
  readonly #adding = new Map<string, Promise<void>>()
  /** How much was told of documents that were forgotten: if they come again, it goes on there. */
  readonly #forgotten = new Map<string, number>()

  constructor(parts: DocumentsParts) {
    this.#parts = parts
    this.#records = parts.records
    this.#opens = parts.opens
  }

  /** Those that are loaded. */
  get opens(): Opens {
    return this.#opens
  }

  /** What is kept of a document. */
  known(id: string): Known | undefined {
    return this.#records.get(id)
  }

  /** Something else is to be kept of a document. It is stored with what the engine hands out next. */
  change(id: string, known: Known): void {
    this.#records.set(id, known)
    this.#parts.storing.put(recordKey(id), known)
  }

  async infos(): Promise<DocumentInfo[]> {
    await this.loadAll()
    this.#parts.term.check()
    return [...this.#records].map(([id, { title, isEncrypted }]) => {
      const pending = this.#opens.has(id) ? this.#parts.session.unacknowledged(id) : 0
      return { id, title, isEncrypted, pending }
    })
  }

  async loadAll(): Promise<void> {
    // One that is damaged says so when it is asked for.
    for (const id of [...this.#records.keys()]) await this.load(id).catch(() => undefined)
  }

  load(id: string): Promise<Open> {
    const loading = this.#loading.get(id) ?? this.#loadNow(id)
    this.#loading.set(id, loading)
    loading.catch(() => this.#loading.delete(id))
    return loading
  }

  /** Founds a document. */
  async create(id: string, { title, isEncrypted }: Pick<Known, "title" | "isEncrypted">): Promise<void> {
    if (this.#records.has(id) || this.#adding.has(id)) return this.#adding.get(id)
    if (isEncrypted) this.#parts.session.found(id, this.#parts.deviceName())
    await this.add(id, { title, isEncrypted, origin: "founded" })
  }

  /** Begins to keep a document, once: who asks at the same time must not begin another one in its place. */
  add(id: string, added: Known): Promise<void> {
    const adding = this.#adding.get(id) ?? this.#addNow(id, added).finally(() => this.#adding.delete(id))
    this.#adding.set(id, adding)
    return adding
  }

  /** Has the engine read a document from the beginning; what is stored of it begins anew as well. */
  restart(id: string, known: Known): Open {
    this.#parts.session.remove(id)
    this.#parts.session.addNew(id)
    return this.#begin(id, known)
  }

  async forget(id: string): Promise<void> {
    const { early, session, storing, term, turn } = this.#parts
    const past = await storing.past.keys(id)
    term.check()
    const open = this.#opens.get(id)
    // Tabs that show it still, and will again, must see that they missed something.
    if (open) this.#forgotten.set(id, open.version + 1)
    this.#records.delete(id)
    session.remove(id)
    this.#opens.delete(id)
    this.#loading.delete(id)
    early.delete(id)
    await storing.forget(id, past)
    turn()
  }

  async #loadNow(id: string): Promise<Open> {
    const { early, store, session, term } = this.#parts
    const known = this.#records.get(id)
    if (!known) throw new ClientError("invalid", `the document ${id} is not known here`)
    const read = early.get(id) ?? storedOf(store, id)
    early.delete(id)
    const [saved, kept] = await read
    term.check()
    if (!this.#records.has(id)) throw new ClientError("invalid", `the document ${id} was forgotten`)
    if (kept) session.restoreKeys(id, kept)
    if (saved) session.add(id, saved.begin, saved.appended)
    else session.addNew(id)
    const open = this.#begin(id, known)
    if (saved) count(open, [{ begin: saved.begin }, ...saved.appended.map(append => ({ append }))])
    return open
  }

  /** Its keys are stored before anything is sealed with them. */
  async #addNow(id: string, added: Known): Promise<void> {
    const { session, storing, term, settle } = this.#parts
    await storing.keep({ [recordKey(id)]: added, [keysKey(id)]: session.takeKeys(id) })
    term.check()
    this.#records.set(id, added)
    session.addNew(id)
    this.#begin(id, added)
    await settle()
  }

  #begin(id: string, known: Known): Open {
    const version = this.#opens.get(id)?.version ?? this.#forgotten.get(id) ?? 0
    const open = newOpen(version, this.#opens.get(id)?.tabs ?? new Map<string, unknown>())
    this.#opens.set(id, open)
    this.#loading.set(id, Promise.resolve(open))
    this.#parts.onBegun(id, known)
    this.#parts.turn()
    return open
  }
}
