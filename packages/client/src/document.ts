import { Cell, tellAll, type Watched } from "./cell.js"
import { Entities, type Editable } from "./collection.js"
import type { Edit, Entity } from "./entity.js"
import { ClientError } from "./error.js"
import { Mirror } from "./mirror.js"
import { LiveQuery, RowQuery, difference, type Entry } from "./query.js"
import type { DocumentChange, LiveChange, Origin, Query, Row } from "./rows.js"
import type { Collections, Fields, Schema } from "./schema.js"
import { Changes, inverseOf, type Inverse } from "./undo.js"
import { isSame } from "./values.js"
import type {
  Doc,
  DocBase,
  Former,
  InviteOptions,
  Inspection,
  Member,
  Peer,
  Presence,
  Right,
  TransactionOptions,
} from "./workspace.js"
import type { Opened, Question, Told } from "./words.js"
import { readNews } from "./words.js"
import { readWhole } from "./whole.js"

/** Posts of a document that may be on their way. What is written meanwhile is one post, once there is room. */
const POSTS_MAX = 64
/** Bytes of what is shown of a tab, as JSON. */
const SHOWN_BYTES_MAX = 3 << 10

/** Where a document's edits go, and where its questions are answered. */
export interface Host {
  /** Has edits taken in and stored, behind all before them; says as which post, and when they are stored. */
  post(document: string, changes: readonly (readonly Edit[])[]): { readonly number: number; readonly stored: Promise<void> }
  ask<T>(question: Question): Promise<T>
  /** Something that was told of a document was missed: it is to be opened again. */
  reopen(document: string): void
}

/** What is known of a document besides what is in it. */
interface Info extends Readonly<Opened["info"]> {
  readonly isForgotten: boolean
}

/** A change that is being made. */
interface Draft {
  readonly edits: Edit[]
  readonly inverses: Inverse[]
  /** Entities that were not there before. */
  readonly made: Set<string>
}

/** A document, as a tab shows it. */
export class Document<S extends Collections> implements DocBase<S>, Editable {
  readonly presence: Presence & { readonly peers: Watched<readonly Peer[]> }
  readonly rights: Watched<readonly Right[] | undefined>
  readonly isForgotten: Watched<boolean>
  readonly #host: Host
  readonly #schema: Schema<S>
  readonly #mirror = new Mirror()
  readonly #changes = new Changes()
  readonly #peers = new Cell<{ list: readonly Peer[] }>({ list: [] })
  readonly #listeners = new Set<(change: DocumentChange) => void>()
  #draft: Draft | undefined
  #isPosting = false
  #onTheirWay = 0
  #stored: Promise<void> = Promise.resolve()
  readonly #info = new Cell<Info>({ title: "", isEncrypted: false, rights: undefined, isForgotten: false })
  /** How much of what is told was taken in, and who told it. */
  #term = ""
  #version = 0
  /** When others changed an entity last, or this tab its texts, counted in all that was heard. */
  readonly #touched = new Map<string, number>()
  #heard = 0
  /** What this tab shows of itself, as JSON, and whether that is on its way. */
  #shown: string | undefined
  #isShowing = false
  /** What is told before the document was opened, or opened again, waits. */
  #early: { readonly told: Told & { type: "news" }; readonly taken: number }[] | undefined = []

  constructor(
    host: Host,
    readonly id: string,
    schema: Schema<S>,
  ) {
    this.#host = host
    this.#schema = schema
    const peers = part(this.#peers, ({ list }) => list)
    this.presence = { set: state => this.#show(state), peers }
    this.rights = part(this.#info, ({ rights }) => rights)
    this.isForgotten = part(this.#info, ({ isForgotten }) => isForgotten)
    for (const [name, fields] of Object.entries(schema.collections)) {
      Object.defineProperty(this, name, { value: new Entities(this, name, fields), enumerable: true })
    }
  }

  /** The document with its collections. */
  get typed(): Doc<S> {
    return this as unknown as Doc<S>
  }

  get title(): string {
    return this.#info.value.title
  }

  get isEncrypted(): boolean {
    return this.#info.value.isEncrypted
  }

  // What is in it, as its collections ask.

  entity(id: string): Entity | undefined {
    return this.#mirror.get(id)
  }

  ids(collection: string): readonly string[] {
    return this.#mirror.ids(collection)
  }

  write(edits: readonly Edit[]): void {
    if (!this.#draft) return this.transaction(() => this.write(edits))
    const { rights, isForgotten } = this.#info.value
    if (edits.length > 0 && isForgotten) throw new ClientError("closed", "the document is not kept on this device any more")
    if (edits.length > 0 && rights?.includes("write") === false)
      throw new ClientError("denied", "this device may read the document, and not write in it")
    for (const edit of edits) {
      this.#note(edit, this.#draft)
      this.#draft.edits.push(edit)
      this.#mirror.show(edit)
    }
  }

  /** Notes what takes an edit back. What is made is taken back as a whole, or not at all. */
  #note(edit: Edit, { inverses, made }: Draft): void {
    const { id } = edit
    if (made.has(id)) return
    const inverse = inverseOf(edit, this.#mirror.get(id), this.#fieldsOf(id))
    if (inverse) inverses.push({ ...inverse, since: this.#heard })
    if (inverse?.deletes) made.add(id)
    // Texts have an undo of their own: what was written in one must not go with what it is in.
    else if ("name" in edit) this.#touched.set(id, ++this.#heard)
  }

  transaction<T>(write: () => T, { undo = true }: TransactionOptions = {}): T {
    if (this.#draft) return write()
    const { result, inverses } = this.#make(write)
    if (undo) this.#changes.did(inverses)
    return result
  }

  undo(): boolean {
    return this.#changes.undo(inverses => this.#makeInverse(inverses))
  }

  redo(): boolean {
    return this.#changes.redo(inverses => this.#makeInverse(inverses))
  }

  get canUndo(): boolean {
    return this.#changes.canUndo
  }

  get canRedo(): boolean {
    return this.#changes.canRedo
  }

  // What is told.

  subscribe(listener: (change: DocumentChange) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  live<F extends Fields>(query: Query<F>, listener: (change: LiveChange<Row<F>>) => void): () => void
  live<R extends Entry>(query: (doc: Doc<S>) => readonly R[], listener: (change: LiveChange<R>) => void): () => void
  live<R extends Entry>(
    query: RowQuery<R> | ((doc: Doc<S>) => readonly R[]) | Query,
    listener: (change: LiveChange<R>) => void,
  ): () => void {
    const ask = typeof query === "function" ? this.#asked(query) : incremental(query as RowQuery<R>)
    const stop = this.subscribe(({ entities }) => {
      const change = ask.update(entities)
      if (change) listener(change)
    })
    // It may write itself, and is told of that as well.
    listener({ rows: ask.rows, added: ask.rows, changed: [], removed: [] })
    return stop
  }

  async saved(): Promise<void> {
    this.#post()
    while (this.#isPosting) await this.#stored
    await this.#stored
  }

  async synced(): Promise<void> {
    await this.saved()
    await this.#host.ask({ type: "synced", id: this.id })
  }

  history(id: string, field?: string): Promise<readonly Former[]> {
    return this.#host.ask({ type: "history", id: this.id, entity: id, field })
  }

  invite(options: InviteOptions = {}): Promise<string> {
    return this.#host.ask({
      type: "invite",
      id: this.id,
      rights: options.rights ?? ["read", "write"],
      once: options.once ?? false,
    })
  }

  members(): Promise<readonly Member[]> {
    return this.#host.ask({ type: "members", id: this.id })
  }

  async remove(device: string): Promise<void> {
    await this.#host.ask({ type: "remove", id: this.id, device })
  }

  async inspect(): Promise<Inspection> {
    return this.#host.ask({ type: "inspect", id: this.id })
  }

  // What the workspace hands on.

  /** Takes in everything that the tab that leads has, if that is not old by now. */
  begin(opened: Opened): void {
    if (opened.term === this.#term && opened.version < this.#version) return
    const all = readWhole(opened.whole)
    const early = this.#early ?? []
    const [isFirst, isOther] = [this.#term === "", opened.term !== this.#term]
    this.#early = undefined
    this.#info.set(opened.info)
    this.#term = opened.term
    this.#version = opened.version
    const changed = this.#mirror.replace(all, opened.taken)
    if (isFirst) this.#emit(changed, "remote")
    else this.#touch(changed, "remote")
    for (const { told, taken } of early) this.hear(told, taken)
    this.#peers.set({ list: opened.peers })
    // Who leads now was not told what this tab shows.
    if (isOther && !isFirst && this.#shown !== undefined) this.#showNow()
  }

  /** Another leads, or all may be otherwise: what is told waits until it was opened again. */
  hold(): void {
    this.#early ??= []
  }

  /** Takes in what changed; `taken` is the last post of this tab that is in it. */
  hear(told: Told & { type: "news" }, taken = 0): void {
    if (this.#early) return void this.#early.push({ told, taken })
    if (told.term !== this.#term || told.version <= this.#version) return
    // A page that was put away hears nothing, and goes on when it is shown again.
    if (told.version > this.#version + 1) return this.#host.reopen(this.id)
    this.#version = told.version
    const changed = this.#mirror.hear(readNews(told.news), taken)
    if (taken > 0) this.#emit(changed, told.origin)
    else this.#touch(changed, told.origin)
  }

  /** It is not kept here any more. */
  forget(): void {
    this.#info.set({ isForgotten: true })
  }

  /** Others changed these. */
  #touch(entities: ReadonlySet<string>, origin: Origin): void {
    this.#heard++
    for (const id of entities) this.#touched.set(id, this.#heard)
    this.#emit(entities, origin)
  }

  showPeers(peers: readonly Peer[]): void {
    this.#peers.set({ list: peers })
  }

  #show(state: unknown): void {
    this.#shown = shownAs(state)
    this.#showNow()
  }

  /** Says what is shown; only the last of what is set meanwhile is said. */
  #showNow(): void {
    if (this.#isShowing) return
    this.#isShowing = true
    const said = this.#shown
    const goOn = () => {
      this.#isShowing = false
      if (this.#shown !== said) this.#showNow()
    }
    // Who is not seen is told by nothing else either.
    this.#host.ask({ type: "show", id: this.id, state: said }).then(goOn, () => (this.#isShowing = false))
  }

  #makeInverse(inverses: readonly Inverse[]): Inverse[] {
    const holds = ({ asLongAs, deletes, restores, since = 0 }: Inverse) =>
      (!asLongAs || isSame(this.entity(asLongAs.id)?.fields[asLongAs.field], asLongAs.reads)) &&
      (deletes === undefined || (this.#touched.get(deletes) ?? 0) <= since) &&
      (restores === undefined || !this.entity(restores))
    return this.#make(() => this.write(inverses.filter(holds).flatMap(({ edits }) => edits))).inverses
  }

  #make<T>(write: () => T): { result: T; inverses: Inverse[] } {
    const draft: Draft = { edits: [], inverses: [], made: new Set() }
    this.#draft = draft
    try {
      const result = write()
      if (result instanceof Promise) throw new ClientError("invalid", "a transaction does not wait: it is made at once")
      this.#draft = undefined
      this.#keep(draft.edits)
      return { result, inverses: draft.inverses }
    } catch (error) {
      this.#draft = undefined
      this.#mirror.settle(new Set(draft.edits.map(({ id }) => id)))
      throw error
    }
  }

  #keep(edits: readonly Edit[]): void {
    if (edits.length === 0) return
    this.#mirror.keep(edits)
    if (!this.#isPosting) queueMicrotask(() => this.#post())
    this.#isPosting = true
    this.#emit(new Set(edits.map(({ id }) => id)), "local")
  }

  /** What was written in one go is one post. */
  #post(): void {
    if (!this.#isPosting || this.#onTheirWay >= POSTS_MAX) return
    this.#isPosting = false
    this.#onTheirWay++
    const { stored } = this.#mirror.post(changes => this.#host.post(this.id, changes))
    this.#stored = stored
    // Who waits for `saved` is told; it is not an error of nobody.
    const goOn = () => {
      this.#onTheirWay--
      this.#post()
    }
    stored.then(goOn, goOn)
  }

  #fieldsOf(id: string): Fields {
    const collection = id.slice(0, id.indexOf("/"))
    return (Object.hasOwn(this.#schema.collections, collection) && this.#schema.collections[collection]) || {}
  }

  #asked<R extends Entry>(query: (doc: Doc<S>) => readonly R[]): Asked<R> {
    let rows = query(this.typed)
    return {
      rows,
      update: entities => {
        const before = rows
        rows = query(this.typed)
        return difference(before, rows, entities)
      },
    }
  }

  #emit(entities: ReadonlySet<string>, origin: Origin): void {
    if (entities.size > 0) tellAll(this.#listeners, listener => listener({ entities, origin }))
  }
}

/** What a tab shows, as text. */
function shownAs(state: unknown): string | undefined {
  let text: string | undefined
  try {
    text = JSON.stringify(state) as string | undefined
  } catch (error) {
    throw new ClientError("invalid", "what is shown is no JSON", error)
  }
  if (text !== undefined && new TextEncoder().encode(text).length > SHOWN_BYTES_MAX)
    throw new ClientError("invalid", `what is shown has at most ${SHOWN_BYTES_MAX} bytes`)
  return text
}

interface Asked<R> {
  readonly rows: readonly R[]
  update(entities: ReadonlySet<string>): LiveChange<R> | undefined
}

function incremental<R extends Entry>(query: RowQuery<R>): Asked<R> {
  return new LiveQuery(query)
}

/** Something of a value that can be watched; whether it is otherwise is what counts. */
function part<T, P>(cell: Cell<T>, of: (value: T) => P): Watched<P> {
  return {
    get value() {
      return of(cell.value)
    },
    watch: listener => {
      let last = of(cell.value)
      return cell.watch(value => {
        const next = of(value)
        if (isSame(next, last)) return
        last = next
        listener(next)
      })
    },
  }
}
