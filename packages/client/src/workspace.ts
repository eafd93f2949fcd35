import { apart, Cell, tellAll, type Watched } from "./cell.js"
import { newName } from "./collection.js"
import { Document, type Host } from "./document.js"
import { ClientError } from "./error.js"
import { onFlushTime } from "./installation.js"
import { Keeper } from "./keeper.js"
import { Leaving } from "./leaving.js"
import { pushKeyOf, readSubscription } from "./push.js"
import { relayOf } from "./relay.js"
import type { CollectionsOf, DocumentChange, LiveChange, Query, Row } from "./rows.js"
import type { Collections, FieldKind, Fields, Schema, Value } from "./schema.js"
import type { Space } from "./space.js"
import { checkName, type Store } from "./store.js"
import { Tabs, type TabsStatus } from "./tabs.js"
import { errorOf } from "./tabs/message.js"
import { isSame } from "./values.js"
import type { Asked, DocumentPost, Hello, Opened, Question, Standing, Told } from "./words.js"

/** So often a tab may fail to lead, before the workspace cannot be opened. */
const TRIES = 3
/** When a document is asked for again that could not be. */
const REOPEN_MS = 5_000

/** What a document's members may do. */
export type Right = "read" | "write" | "snapshot" | "admin" | "join"

/** How a workspace is opened. */
export interface WorkspaceOptions {
  /** What it is called here: 1 to 64 letters, digits, `.`, `_` and `-`. All tabs of an origin that use a name share what is stored. */
  readonly name: string
  /** Where the relay is: a path of this origin, or an address. Absent: documents stay in this browser. */
  readonly relay?: string | URL
  /** What this device is called where members are listed; the browser's name otherwise. */
  readonly deviceName?: string
  /**
   * Who says that this device may open a document: a capability for the public key `device`. Absent: the relay is asked, if it gives them
   * itself. Called again before one ends.
   */
  readonly token?: (document: string, device: string) => Promise<string>
  /** Where the engine is, if not beside this module: an address, a response, bytes, or a compiled module. */
  readonly engine?: EngineSource
  /** The tenant that documents are founded under: `default` unless said. */
  readonly tenant?: string
  /** What the names of documents that are founded here begin with: `vaults/` unless said. The relay's config opens such a prefix to guests. */
  readonly folder?: string
  /** Another store than the browser's; it is closed with the workspace. */
  readonly store?: Store
  /** How connections are made, where there is no WebSocket. */
  readonly webSocket?: (url: string, protocol: string) => WebSocket
  /** A tab with an older version of the application has the store open, and must be closed by hand. */
  readonly onBlocked?: () => void
}

/** Where the engine can be loaded from. */
export type EngineSource = string | URL | Response | BufferSource | WebAssembly.Module | Promise<Response>

/**
 * How it stands with the relay: there is none; no network or no answer; being opened; everything read and written; still reading; or the
 * relay lets this device into no document.
 */
export type Connection = "none" | "offline" | "connecting" | "live" | "behind" | "denied"

/** How a workspace stands, for a line at the application's edge. */
export interface WorkspaceState {
  readonly connection: Connection
  /** How many records the relay has that are not read yet, if it is behind. */
  readonly behind: number
  /** Which tab has the store and the connection. Applications need not care. */
  readonly role: "leader" | "follower"
  /** Changes that are not on the disk yet. */
  readonly unsaved: number
  /** Operations that the relay does not have yet. */
  readonly pending: number
  /** Why something waits, if not just for its turn: `full`, `unavailable`, `denied`, … */
  readonly trouble: ClientError | undefined
  /** Nothing of it outlives this tab, as in private windows of some browsers: say so to the person. */
  readonly isVolatile: boolean
  /** Whether there was something, or the browser threw it away; what the relay has comes back then. */
  readonly found: "new" | "known" | "evicted"
  /**
   * By how many milliseconds, about, the relay's clock is ahead of this device's; undefined before it was heard. What a program decides by
   * the time, as to delete what is old, a clock that is wrong should not decide.
   */
  readonly clockAheadMs: number | undefined
  /** What the origin has of the disk, as of the last change of this. */
  readonly storage: Space | undefined
}

/** A document that is known here. */
export interface DocumentInfo {
  readonly id: string
  readonly title: string
  readonly isEncrypted: boolean
  /** Operations that the relay does not have yet. */
  readonly pending: number
}

/** How a document is founded. */
export interface CreateOptions {
  /** Only its members' devices can read it, and not the relay. */
  readonly encrypted?: boolean
  /** What it is called on this device. */
  readonly title?: string
  /** Its id, `tenant/name`; drawn unless it is given. */
  readonly id?: string
}

/** Whom a link lets in. */
export interface InviteOptions {
  /** What they may do; to read and to write unless said. */
  readonly rights?: readonly Right[]
  /** For the first device that opens it only. */
  readonly once?: boolean
}

/** Documents of this browser, and their relay. */
export class Workspace implements Host {
  /** The public key of this device, as hexadecimal digits. */
  readonly device: string
  readonly #options: WorkspaceOptions
  readonly #crew: Crew
  readonly #state: Cell<WorkspaceState>
  readonly #documents = new Map<string, { readonly document: Document<Collections>; readonly opened: Promise<void> }>()
  readonly #endWatch: () => void
  readonly #listeners = new Set<() => void>()
  readonly #leaving: Leaving | undefined
  #standing: Standing
  /** What who leads has trouble with; one object for as long as it is the same. */
  #trouble: ClientError | undefined
  #isClosed = false

  /** Opens what is stored under a name, or begins. It resolves when this tab or another one leads, and fails where no tab can. */
  static async open(options: WorkspaceOptions): Promise<Workspace> {
    checkName(options.name)
    const crew = await Crew.join(options)
    return new Workspace(options, crew, await crew.hello())
  }

  private constructor(options: WorkspaceOptions, crew: Crew, { device, standing }: Hello) {
    this.#options = options
    this.#crew = crew
    this.device = device
    this.#standing = standing
    this.#trouble = standing.trouble && errorOf(standing.trouble)
    this.#state = new Cell(this.#stateOf(crew.tabs.status.value))
    const endStatus = crew.tabs.status.watch(() => this.#restate())
    // The tab that leads may be hidden, and its timers slow.
    const hurry = () => void this.ask({ type: "hurry" }).catch(() => undefined)
    const endFlush = "document" in globalThis ? onFlushTime(hurry) : () => undefined
    this.#leaving = "document" in globalThis ? new Leaving(options.name, crew.tabs) : undefined
    this.#endWatch = () => (endStatus(), endFlush(), this.#leaving?.end())
    crew.attach({ told: told => this.#hear(told), led: () => this.#again() })
  }

  get state(): Watched<WorkspaceState> {
    return this.#state
  }

  /** The documents that are known here. */
  documents(): Promise<readonly DocumentInfo[]> {
    return this.ask({ type: "documents" })
  }

  /** Founds a document; that needs no network. */
  async create<S extends Collections>(schema: Schema<S>, options: CreateOptions = {}): Promise<Doc<S>> {
    const { title = "", encrypted: isEncrypted = false } = options
    const id = options.id ?? `${this.#options.tenant ?? "default"}/${this.#options.folder ?? "vaults/"}${newName(16)}`
    await this.ask({ type: "create", id, title, isEncrypted })
    return this.get(id, schema)
  }

  /** Opens a document that is known here, or that the relay lets this device read. The same document for the same id. */
  async get<S extends Collections>(id: string, schema: Schema<S>): Promise<Doc<S>> {
    const known = this.#documents.get(id) ?? this.#begin(id, schema as Schema)
    await known.opened
    return (known.document as unknown as Document<S>).typed
  }

  /**
   * Comes in by a link; it must reach the relay. One that allows more than this device may so far gives it that. `denied`: the link was used, or taken back; or
   * it allows more of an encrypted document, whose members no link changes: an admin takes this device out (`remove`), it forgets the document, and joins by a link that is made after that.
   */
  async join<S extends Collections>(link: string, schema: Schema<S>): Promise<Doc<S>> {
    const id = await this.ask<string>({ type: "join", link })
    return this.get(id, schema)
  }

  /** How a document is inside; for the inspector. */
  inspect(id: string): Promise<Inspection> {
    return this.ask({ type: "inspect", id })
  }

  /** Forgets a document on this device. What the relay does not have is lost: look at `pending` before. */
  async forget(id: string): Promise<void> {
    await this.ask({ type: "forget", id })
  }

  /** The key that browsers subscribe with, so that the relay can wake them; `unsupported` where it wakes nobody. */
  async pushKey(): Promise<string> {
    const relay = relayOf(this.#options)
    if (!relay) throw new ClientError("unsupported", "there is no relay")
    return pushKeyOf(relay)
  }

  /**
   * Has the relay wake this browser by this subscription when a document that is here changes and nobody here is connected; undefined: it is let sleep.
   * It is said again whenever a document is opened.
   */
  async wakeBy(subscription: PushSubscriptionJSON | undefined): Promise<void> {
    await this.ask({ type: "wake", by: subscription && readSubscription(subscription) })
  }

  /**
   * Whether something that was written would be lost if this page went now: ask the person then (`beforeunload`). What is not stored a page leaves where the
   * next one finds it, unless there is no room; but on a disk that is full there may be none for the next one either.
   */
  wouldLose(): boolean {
    const { role, isVolatile, pending, unsaved, trouble } = this.#state.value
    if (isVolatile) return role === "leader" && pending + unsaved > 0
    return unsaved > 0 && (!this.#leaving?.leave() || trouble?.kind === "full")
  }

  /** Stores what waits, says goodbye to the relay, and lets another tab lead. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#documents.values()].map(({ document }) => document.saved()))
    this.#isClosed = true
    this.#endWatch()
    await this.#crew.tabs.close()
  }

  /** Which tab this is, and what its locks are named after. @internal */
  get tab(): { readonly id: string; readonly name: string } {
    return { id: this.#crew.tabs.id, name: this.#options.name }
  }

  /** Calls `listener` when something of a document, or of how it stands, may be otherwise. @internal */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** @internal */
  post(id: string, changes: DocumentPost["changes"]): { number: number; stored: Promise<void> } {
    const stored = this.#crew.tabs.post({ id, changes } satisfies DocumentPost)
    return { number: this.#crew.tabs.posted, stored }
  }

  /** @internal */
  reopen(id: string): void {
    const document = this.#documents.get(id)?.document
    if (document) this.#reopen(document)
  }

  /** @internal */
  async ask<T>(question: Question): Promise<T> {
    return (await this.#crew.ask(question)) as T
  }

  #begin(id: string, schema: Schema): { document: Document<Collections>; opened: Promise<void> } {
    const document = new Document(this, id, schema)
    const opened = this.#open(document)
    opened.catch(() => this.#documents.delete(id))
    const known = { document, opened }
    this.#documents.set(id, known)
    return known
  }

  async #open(document: Document<Collections>): Promise<void> {
    document.hold()
    document.begin(await this.ask<Opened>({ type: "open", id: document.id }))
  }

  #hear(told: Told): void {
    tellAll(this.#listeners, listener => listener())
    if (told.type === "standing") return this.#restate(told.standing)
    const document = this.#documents.get(told.id)?.document
    if (!document) return
    if (told.type === "peers") return document.showPeers(told.peers.filter(({ id }) => id !== this.#crew.tabs.id))
    if (told.type === "news") return document.hear(told, told.tab === this.#crew.tabs.id ? told.taken : 0)
    if (told.type === "forgotten") {
      this.#documents.delete(told.id)
      return document.forget()
    }
    this.#reopen(document)
  }

  /** Another tab leads: what it has counts. */
  #again(): void {
    for (const { document } of this.#documents.values()) this.#reopen(document)
    void this.ask<Hello>({ type: "hello" }).then(
      ({ standing }) => this.#restate(standing),
      () => undefined,
    )
  }

  #reopen(document: Document<Collections>): void {
    this.#open(document).catch((error: unknown) => {
      const isOurs = this.#documents.get(document.id)?.document === document
      if (!isOurs || this.#isClosed || !(error instanceof ClientError)) return
      this.#state.set({ trouble: error })
      // One that is not here any more is gone; anything else may be otherwise later, and until then this tab would hear nothing.
      if (error.kind !== "invalid") setTimeout(() => this.reopen(document.id), REOPEN_MS)
    })
  }

  /** What this tab knows of itself, and what who leads said last. */
  #restate(standing: Standing = this.#standing): void {
    if (!isSame(Object.values(standing.trouble ?? {}), Object.values(this.#standing.trouble ?? {})))
      this.#trouble = standing.trouble && errorOf(standing.trouble)
    this.#standing = standing
    this.#state.set(this.#stateOf(this.#crew.tabs.status.value))
  }

  #stateOf({ role, isVolatile, waiting, trouble }: TabsStatus): WorkspaceState {
    return { ...this.#standing, role, isVolatile, unsaved: waiting, trouble: trouble ?? this.#trouble }
  }
}

/** What a workspace is told by the tabs. */
interface Attached {
  told(told: Told): void
  led(): void
}

/** This tab among the others, and what it has while it leads. */
class Crew {
  readonly #options: WorkspaceOptions
  #tabs: Tabs | undefined
  #attached: Attached | undefined
  /** What was told last of how it stands: also before anybody was attached. */
  #standing: Told | undefined

  static async join(options: WorkspaceOptions): Promise<Crew> {
    const crew = new Crew(options)
    crew.#tabs = await Tabs.join(options.name, {
      lead: () => crew.#lead(),
      onTold: told => crew.#hear(told as Told),
      onLed: () => crew.#attached?.led(),
    })
    return crew
  }

  private constructor(options: WorkspaceOptions) {
    this.#options = options
  }

  get tabs(): Tabs {
    return this.#tabs!
  }

  attach(attached: Attached): void {
    this.#attached = attached
    if (this.#standing) attached.told(this.#standing)
  }

  /** Learns who this device is from who leads. Where this tab should lead and cannot, it leaves, and the reason is thrown. */
  async hello(): Promise<Hello> {
    const { status } = this.tabs
    let [tries, last, endWatch]: [number, ClientError | undefined, () => void] = [0, undefined, () => undefined]
    const failed = new Promise<never>((_resolve, reject) => {
      const look = ({ trouble }: TabsStatus) => {
        if (!trouble || trouble === last) return
        last = trouble
        const isPassing = trouble.kind === "unavailable" || trouble.kind === "superseded" || trouble.kind === "closed"
        if (++tries >= TRIES || !isPassing) reject(trouble)
      }
      endWatch = status.watch(look)
      look(status.value)
    })
    try {
      return (await Promise.race([this.ask({ type: "hello" }), failed])) as Hello
    } catch (error) {
      await this.tabs.close()
      throw error
    } finally {
      endWatch()
    }
  }

  ask(question: Question): Promise<unknown> {
    return this.tabs.ask({ tab: this.tabs.id, question } satisfies Asked)
  }

  async #lead(): Promise<Keeper> {
    const keeper = await Keeper.open(this.#options, relayOf(this.#options), told => this.#tell(told))
    // What this tab shows was told by another, or before.
    queueMicrotask(() => this.#attached?.led())
    return keeper
  }

  /** Tells all tabs, this one as well. */
  #tell(told: Told): void {
    if (this.#tabs?.status.value.role === "leader") this.#tabs.tell(told)
    apart(() => this.#hear(told))
  }

  #hear(told: Told): void {
    if (told.type === "standing") this.#standing = told
    this.#attached?.told(told)
  }
}

/** A document: its collections by their names, and what can be done with the whole. Reading never waits. */
export type Doc<S extends Collections = Collections> = DocBase<S> & CollectionsOf<S>

/** What every document can. */
export interface DocBase<S extends Collections = Collections> {
  /** `tenant/name`. */
  readonly id: string
  readonly isEncrypted: boolean
  /** What it is called on this device. */
  readonly title: string
  /**
   * Calls `listener` with the result at once, and after each change of it. A query of a collection is asked again only about the entities that
   * changed; a function is called again after each change of the document. Returns what ends that.
   */
  live<F extends Fields>(query: Query<F>, listener: (change: LiveChange<Row<F>>) => void): () => void
  live<R extends { readonly id: string }>(
    query: (doc: Doc<S>) => readonly R[],
    listener: (change: LiveChange<R>) => void,
  ): () => void
  /** Calls `listener` after each change. Returns what ends that. */
  subscribe(listener: (change: DocumentChange) => void): () => void
  /** Makes several edits one change and one undo. If `write` throws, nothing of it remains. */
  transaction<T>(write: () => T, options?: TransactionOptions): T
  /**
   * Takes the last change of this tab back, as far as it is still what counts; one of which nothing is, is passed over. Returns whether there
   * was one.
   */
  undo(): boolean
  redo(): boolean
  readonly canUndo: boolean
  readonly canRedo: boolean
  /** What was written to an entity before, or to one field of it, the newest first. */
  history(id: string, field?: string): Promise<readonly Former[]>
  /** Everything written here so far is on the disk when this resolves. */
  saved(): Promise<void>
  /** The relay has everything written so far when this resolves. It does not while there is no connection. */
  synced(): Promise<void>
  readonly presence: Presence
  /**
   * What this device may do, as its token says; undefined where that is not known, as of a document that was founded here and never reached a
   * relay. Without `write`, edits are refused as `denied`.
   */
  readonly rights: Watched<readonly Right[] | undefined>
  /**
   * Whether it is not kept on this device any more: a tab forgot it, or what was stored is gone and somebody wrote. Edits are refused as `closed` from
   * then on; what was read can still be read. Once it is here again, `get` gives another one.
   */
  readonly isForgotten: Watched<boolean>
  /** A link that lets others in: put it behind the `#` of an address, which is sent to no server. It must reach the relay. */
  invite(options?: InviteOptions): Promise<string>
  /** Who can read an encrypted document. */
  members(): Promise<readonly Member[]>
  /** Takes a member out: what is written from then on is closed to it. */
  remove(device: string): Promise<void>
  /** For the inspector. */
  inspect(): Promise<Inspection>
}

/** How a transaction is made. */
export interface TransactionOptions {
  /** Whether it can be taken back: true unless said. What an application notes by the way, such as when somebody wrote, is no step of a person. */
  readonly undo?: boolean
}

/** What was written once. */
export interface Former {
  readonly field: string
  /** What it was changed to; undefined: it was taken out. A text as updates of Yjs: `readUpdates` of `@selvedge/client/text` reads them. */
  readonly value: Value | readonly Value[] | undefined
  /** Milliseconds since 1970, by the author's clock. */
  readonly at: number
  /** The replica that wrote it; `isOwn` if it is of this device. */
  readonly by: string
  readonly isOwn: boolean
}

/** What people who have a document open show each other; nothing of it is stored. */
export interface Presence {
  /** Shows something, of at most 3 KB as JSON, until it is changed; undefined shows nothing. */
  set(state: unknown): void
  /** Others, also other tabs of this browser. */
  readonly peers: Watched<readonly Peer[]>
}

/** Somebody who has the document open. */
export interface Peer {
  /** Of this one tab. */
  readonly id: string
  readonly state: unknown
}

/** A device that can read an encrypted document. */
export interface Member {
  readonly device: string
  readonly name: string
  readonly rights: readonly Right[]
  readonly isSelf: boolean
}

/** An operation: what somebody did once to one field, or to an entity. */
export interface Operation {
  /** Milliseconds since 1970, by the author's clock. */
  readonly at: number
  /** The replica that wrote it, and the number that it has there. */
  readonly by: string
  readonly seq: number
  readonly entity: string
  /** What it does: writes a value, takes away what was there, or deletes the entity. */
  readonly does: "put" | "cover" | "delete"
  readonly field: string | undefined
  /** How the field comes together; undefined for deletions. */
  readonly kind: FieldKind | "unknown" | undefined
  /** Undefined where it writes none, or bytes. */
  readonly value: Value | undefined
  /** How many bytes it writes, if it does: an update of a text is such. */
  readonly bytes: number | undefined
}

/** A field that was written by several at the same time. */
export interface Conflict {
  readonly entity: string
  readonly field: string
  readonly kind: FieldKind | "unknown"
  /** What was written, first what the field reads as; of a field of several values it reads as all. */
  readonly values: readonly Pick<Operation, "at" | "by" | "value" | "bytes">[]
}

/** How a document is inside. */
export interface Inspection {
  readonly id: string
  readonly title: string
  /** Under which id this device writes. */
  readonly replica: string
  readonly entities: number
  readonly isEncrypted: boolean
  /** The epoch under whose key is written; 0 if nothing is sealed. */
  readonly epoch: number
  /** What this device may do, if that is known, and until when: milliseconds since 1970. */
  readonly rights: readonly Right[] | undefined
  readonly tokenEnds: number | undefined
  /** By how many milliseconds the relay's clock is ahead of this device's; 0 before it was heard. */
  readonly clockAheadMs: number
  /** Replicas, and the time of the last operation that is known of each. */
  readonly versions: readonly { readonly replica: string; readonly latest: number }[]
  /** Where this device is in the relay's log; undefined if it never saw it. */
  readonly position: { readonly log: string; readonly next: number } | undefined
  /** How many operations the relay does not have yet, and the first of them. */
  readonly pending: number
  readonly waiting: readonly Operation[]
  /** The last operations that still count, the newest first. */
  readonly log: readonly Operation[]
  readonly conflicts: readonly Conflict[]
  /** What happened on the way to the relay and back, the newest first. */
  readonly events: readonly { readonly at: number; readonly what: string }[]
  readonly stored: { readonly bytes: number; readonly pieces: number }
  /** Who has it open, also in tabs here. */
  readonly peers: readonly Peer[]
}
