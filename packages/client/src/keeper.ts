import { Capabilities, endOf, rightsOf, type Capability, type Signer } from "./capability.js"
import { Connection } from "./connection.js"
import { KIND, type Edit } from "./entity.js"
import { ClientError, clientError, isFinal } from "./error.js"
import { Journal } from "./journal.js"
import { Past } from "./past.js"
import type { Origin } from "./rows.js"
import { hasWords, leaveWords, wordsLeft } from "./last-words.js"
import type { WakeUp } from "./push.js"
import { recall, remember } from "./reminder.js"
import { Invitation, loadEngine, openSession, takeEvent, takeTransaction, type EngineEvent, type Session } from "./session.js"
import { requestPersistence, space } from "./space.js"
import { openStore, type Change, type Store } from "./store.js"
import type { Leading, Post } from "./tabs.js"
import { failure, type Failure } from "./tabs/message.js"
import { isSame, toHex } from "./values.js"
import type { Asked, DocumentPost, Hello, Opened, Question, RawNews, Standing, Told } from "./words.js"
import type { DocumentInfo, Former, Inspection, Member, Peer, Right, WorkspaceOptions } from "./workspace.js"

/** How long the relay is waited for where nothing can be done without it. */
const REACH_MS = 30_000
/** When it is tried again to store what could not be, or to get a token; for that it is longer each time, and at most this. */
const RETRY_MS = 5_000
const RETRY_MS_MAX = 600_000
const DENIED_RETRY_MS = 60_000
/** Tokens are asked for no more often than this, however soon they end. */
const TOKENS_APART_MS = 10_000
/** A clock that is so much wrong is not worth a word. */
const CLOCK_MS = 5_000
/** How often it is asked what is left of the disk, at most. */
const SPACE_MS = 10_000
/** Things that happened to a document, for the inspector. */
const EVENTS_MAX = 50
/** Entities that are told one by one; of more, everything is read again. */
const TOLD_MAX = 1_000

/** Whether something came about. */
const TOLD = [() => true, () => false] as const

const record = (id: string) => `document:${id}`
const keys = (id: string) => `keys:${id}`
const stored = (tab: string) => `stored:${tab}`
/** Where it is kept how the relay wakes this device. */
export const WAKE_UP = "wake-up"

/** What is kept of a document beside its replica and its keys. */
interface Known {
  readonly title: string
  readonly isEncrypted: boolean
  readonly origin: "founded" | "joined" | "given"
  readonly token?: string | undefined
  readonly ends?: number | undefined
}

/** A document that is loaded. */
interface Open {
  /** Counts what was told of it. */
  version: number
  isCaughtUp: boolean
  isDenied: boolean
  wantsToken: boolean
  /** When the last token came, by a clock that does not jump, and how often in a row none did since. */
  tokenAt: number
  refusals: number
  lag: number
  readonly events: { readonly at: number; readonly what: string }[]
  /** What is stored of it, or is about to be. */
  stored: { bytes: number; pieces: number }
  /** What sessions elsewhere show. */
  readonly others: Map<string, readonly Peer[]>
  /** What tabs here show. */
  readonly tabs: Map<string, unknown>
}

/** Somebody who waits for something to be so. */
interface Waiter {
  look(): void
  leave(why: ClientError): void
}

/** What is to be stored of documents, and up to which of their transactions that is. */
interface Work {
  readonly replicas: Record<string, Change[]>
  readonly numbers: ReadonlyMap<string, { readonly open: Open | undefined; readonly number: number }>
}

/** What the tab that leads does: it has the documents, the store and the connection. */
export class Keeper implements Leading {
  readonly isVolatile: boolean
  readonly #term = crypto.randomUUID()
  readonly #options: WorkspaceOptions
  readonly #tell: (told: Told) => void
  readonly #store: Store
  readonly #session: Session
  readonly #journal: Journal
  readonly #past: Past
  readonly #connection: Connection | undefined
  readonly #capabilities: Capabilities | undefined
  readonly #records: Map<string, Known>
  readonly #open = new Map<string, Open>()
  readonly #loading = new Map<string, Promise<Open>>()
  readonly #adding = new Map<string, Promise<void>>()
  readonly #joining = new Map<string, Promise<string>>()
  /** How much was told of documents that were forgotten: if they come again, it goes on there. */
  readonly #forgotten = new Map<string, number>()
  /** The last post of each tab that was taken in. */
  readonly #taken = new Map<string, number>()
  readonly #waiters = new Set<Waiter>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  readonly #lost: AbortController
  /**
   * What goes to the disk with what the engine hands out next. It is put there in one go with the edits that it belongs to: the number of a tab's
   * last post is stored if, and only if, the post is.
   */
  #beside: Record<string, unknown> = {}
  #standing: Standing
  /** How the relay wakes this device; undefined: it does not. */
  #wakeUp: WakeUp | undefined
  #trouble: Failure | undefined
  #isRetrying = false
  #spaceAt = 0
  /** How far the relay's clock is before this device's, and whether it was ever heard. */
  #aheadMs = 0
  #isHeard = false
  #isEnded = false

  /** Takes over what is stored; `relay` is its whole address. */
  static async open(options: WorkspaceOptions, relay: string | undefined, tell: (told: Told) => void): Promise<Keeper> {
    const lost = new AbortController()
    const store = await openBoth(options, lost)
    try {
      await store.claim()
      const isBack = await comeBack(options, store)
      const session = openSession(await deviceSecret(options.name, store))
      const kept = await store.metaKeys(record(""))
      const records = await Promise.all(
        kept.map(async key => [key.slice(record("").length), (await store.meta(key)) as Known] as const),
      )
      const found = isBack || store.found === "evicted" ? "evicted" : records.length > 0 ? "known" : "new"
      const wakeUp = (await store.meta(WAKE_UP)) as WakeUp | undefined
      const keeper = new Keeper({ options, relay, tell, store, session, wakeUp, records: new Map(records), found, lost })
      // What goes wrong with that is no reason not to lead: they stay.
      await keeper.#hearLastWords().catch(() => undefined)
      return keeper
    } catch (error) {
      store.close()
      throw error
    }
  }

  private constructor(parts: Parts) {
    const { options, relay, tell, store, session, wakeUp, records, found, lost } = parts
    this.isVolatile = store.isVolatile
    this.#options = options
    this.#tell = tell
    this.#store = store
    this.#session = session
    this.#journal = new Journal(store)
    this.#past = new Past(store)
    this.#records = records
    this.#lost = lost
    this.#wakeUp = wakeUp
    if (relay) {
      this.#connection = new Connection(session, {
        url: relay.replace(/^http/, "ws"),
        dial: options.webSocket,
        onTurn: () => this.#turn(),
        onFailed: why => (this.#trouble = failure(why)),
        isAnswerDue: () => this.#pending(open => !open.isDenied) > 0 && !this.#journal.isBehind,
      })
      this.#capabilities = new Capabilities(relay, () => session.relayMs)
    }
    const nothing = { behind: 0, pending: 0, trouble: undefined, storage: undefined, clockAheadMs: undefined }
    this.#standing = { connection: relay ? "connecting" : "none", found, ...nothing }
    void this.#loadAll()
  }

  /** Takes in what the tab that led before could not store. What cannot be stored now either stays for the next. */
  async #hearLastWords(): Promise<void> {
    const { name, store: own } = this.#options
    for (const { tab, posts } of own ? [] : wordsLeft(name)) {
      const last = await this.stored(tab)
      const left = posts.filter(({ seq }) => seq > last)
      const isStored = left.length === 0 || (await this.store(tab, left).then(...TOLD))
      if (isStored) leaveWords(name, { tab, posts: [] })
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async stored(tab: string): Promise<number> {
    const seq = Number((await this.#store.meta(stored(tab))) ?? 0)
    this.#taken.set(tab, Math.max(seq, this.#taken.get(tab) ?? 0))
    return seq
  }

  async store(tab: string, posts: readonly Post[]): Promise<void> {
    try {
      for (const { seq, body } of posts) if (seq > (this.#taken.get(tab) ?? 0)) await this.#take(tab, seq, body as DocumentPost)
    } finally {
      // What was taken in is stored though what comes behind cannot be taken in now, and also what could not be stored before.
      this.#beside[stored(tab)] = this.#taken.get(tab)
      await this.#settle()
    }
    await this.#journal.retry()
    void this.#measure()
  }

  async known(): Promise<string[]> {
    return (await this.#store.metaKeys(stored(""))).map(key => key.slice(stored("").length))
  }

  async gone(tab: string): Promise<void> {
    this.#taken.delete(tab)
    for (const [id, open] of this.#open) if (open.tabs.delete(tab)) this.#showTabs(id, open)
    // What it left and cannot be stored yet would be stored again without this number.
    if (!this.#options.store && hasWords(this.#options.name, tab)) return
    await this.#store.save({ meta: { [stored(tab)]: undefined } })
  }

  async end(): Promise<void> {
    this.#isEnded = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#connection?.close()
    for (const waiter of [...this.#waiters]) waiter.leave(new ClientError("superseded", "another tab leads"))
    await this.#journal.idle()
    this.#session.free()
    this.#store.close()
  }

  answer(asked: unknown): Promise<unknown> {
    const { tab, question } = asked as Asked
    return this.#answer(tab, question)
  }

  /** The network is there, or the page is: nothing is waited for. */
  hurry(): void {
    if (!this.#isEnded) this.#connection?.hurry()
  }

  /** Waits until the relay has everything; `false` where that takes longer than `limitMs`, or is not `wanted` any more. */
  async flushed(limitMs: number, wanted?: AbortSignal): Promise<boolean> {
    await this.#loadAll()
    if (!this.#connection) return true
    const isAll = () => this.#pending() === 0 && [...this.#open.values()].every(isDoneWith)
    wanted?.addEventListener("abort", () => this.#look())
    return (await this.#until(() => (wanted?.aborted ? false : isAll() || undefined), limitMs)) ?? false
  }

  async #answer(tab: string, question: Question): Promise<unknown> {
    switch (question.type) {
      case "hello":
        return { device: this.#session.device, standing: this.#standing } satisfies Hello
      case "documents":
        return this.#documents()
      case "create":
        return this.#create(question.id, question)
      case "open":
        return this.#opened(tab, question.id)
      case "join":
        return this.#join(question.link)
      case "forget":
        return this.#forget(question.id)
      case "synced":
        return this.#synced(question.id)
      case "history":
        return this.#history(question)
      case "invite":
        return this.#invite(question.id, question)
      case "members":
        return this.#members(question.id)
      case "remove":
        return this.#remove(question.id, question.device)
      case "inspect":
        return this.#inspect(question.id)
      case "wake":
        return this.#wakeBy(question.by)
      case "show":
        return this.#show(tab, question.id, question.state)
      case "hurry":
        return this.hurry()
    }
  }

  // Documents that are here.

  async #documents(): Promise<DocumentInfo[]> {
    await this.#loadAll()
    this.#checkLeading()
    return [...this.#records].map(([id, { title, isEncrypted }]) => {
      const pending = this.#open.has(id) ? this.#session.unacknowledged(id) : 0
      return { id, title, isEncrypted, pending }
    })
  }

  async #loadAll(): Promise<void> {
    // One that is damaged says so when it is asked for.
    for (const id of [...this.#records.keys()]) await this.#load(id).catch(() => undefined)
  }

  #load(id: string): Promise<Open> {
    const loading = this.#loading.get(id) ?? this.#loadNow(id)
    this.#loading.set(id, loading)
    loading.catch(() => this.#loading.delete(id))
    return loading
  }

  async #loadNow(id: string): Promise<Open> {
    const known = this.#records.get(id)
    if (!known) throw new ClientError("invalid", `the document ${id} is not known here`)
    const [saved, kept] = await Promise.all([this.#store.load(id), this.#store.meta(keys(id))])
    this.#checkLeading()
    if (!this.#records.has(id)) throw new ClientError("invalid", `the document ${id} was forgotten`)
    if (kept) this.#session.restoreKeys(id, kept as Uint8Array)
    if (saved) this.#session.add(id, saved.begin, saved.appended)
    else this.#session.addNew(id)
    const open = this.#begin(id, known)
    if (saved) count(open, [{ begin: saved.begin }, ...saved.appended.map(append => ({ append }))])
    return open
  }

  #begin(id: string, { token, ends }: Known): Open {
    const version = this.#open.get(id)?.version ?? this.#forgotten.get(id) ?? 0
    const open = { version, isCaughtUp: false, isDenied: false, wantsToken: false, tokenAt: -Infinity, refusals: 0, lag: 0 }
    const tabs = this.#open.get(id)?.tabs ?? new Map<string, unknown>()
    const whole: Open = { ...open, events: [], stored: { bytes: 0, pieces: 0 }, others: new Map(), tabs }
    this.#open.set(id, whole)
    this.#loading.set(id, Promise.resolve(whole))
    if (token) this.#session.setToken(id, token, this.#byOwnClock(ends))
    if (this.#wakeUp) this.#sayWakeUp(id)
    this.#turn()
    return whole
  }

  async #create(id: string, { title, isEncrypted }: { title: string; isEncrypted: boolean }): Promise<void> {
    if (this.#records.has(id) || this.#adding.has(id)) return this.#adding.get(id)
    if (isEncrypted) this.#session.found(id, this.#deviceName())
    const founded: Known = { title, isEncrypted, origin: "founded" }
    await this.#add(id, founded)
  }

  /** Begins to keep a document, once: who asks at the same time must not begin another one in its place. */
  #add(id: string, added: Known): Promise<void> {
    const adding = this.#adding.get(id) ?? this.#addNow(id, added).finally(() => this.#adding.delete(id))
    this.#adding.set(id, adding)
    return adding
  }

  /** Its keys are stored before anything is sealed with them. */
  async #addNow(id: string, added: Known): Promise<void> {
    await this.#keep({ [record(id)]: added, [keys(id)]: this.#session.takeKeys(id) })
    this.#checkLeading()
    this.#records.set(id, added)
    this.#session.addNew(id)
    this.#begin(id, added)
    await this.#settle()
  }

  /** Stores values beside the documents, which nobody else has. */
  async #keep(meta: Record<string, unknown>): Promise<void> {
    await this.#store.save({ meta })
    this.#remember(meta)
  }

  #remember(meta: Record<string, unknown>): void {
    if (!this.isVolatile) remember(this.#options.name, meta)
  }

  async #history(question: Parameters<Past["of"]>[0]): Promise<Former[]> {
    await this.#load(question.id)
    return this.#past.of(question, this.#session.replicaOf(question.id))
  }

  async #opened(tab: string, id: string): Promise<Opened> {
    if (!this.#records.has(id) && this.#options.token) await this.#add(id, { title: "", isEncrypted: false, origin: "given" })
    const open = await this.#load(id)
    if (!this.#taken.has(tab)) await this.stored(tab)
    this.#checkLeading()
    // From here on nothing is waited for: all of this is of one moment.
    const taken = this.#taken.get(tab) ?? 0
    const { title, isEncrypted, token } = this.#records.get(id)!
    const info = { title, isEncrypted, rights: rightsOf(token) }
    const [json, texts] = [this.#session.objects(id), this.#session.allTexts(id)]
    return { term: this.#term, version: open.version, json, texts, taken, info, peers: peersOf(open) }
  }

  async #forget(id: string): Promise<void> {
    const past = Object.fromEntries((await this.#past.keys(id)).map(key => [key, undefined]))
    this.#checkLeading()
    const open = this.#open.get(id)
    // Tabs that show it still, and will again, must see that they missed something.
    if (open) this.#forgotten.set(id, open.version + 1)
    this.#records.delete(id)
    this.#session.remove(id)
    this.#open.delete(id)
    this.#loading.delete(id)
    const meta = { ...past, [record(id)]: undefined, [keys(id)]: undefined }
    // Behind what of it is on its way to the disk, or that would be there for good.
    await this.#journal.save({ replicas: { [id]: undefined }, meta }, () => this.#remember(meta))
    this.#turn()
  }

  // Edits.

  async #take(tab: string, seq: number, post: DocumentPost): Promise<void> {
    const isHere = await this.#load(post.id).then(
      () => true,
      (error: unknown) => {
        // It was forgotten while this was on its way. What cannot be read now may be later.
        if (clientError("", error).kind !== "invalid") throw error
        return false
      },
    )
    this.#checkLeading()
    // From here on nothing is waited for: what is drained at any time has the number with the edits.
    this.#taken.set(tab, seq)
    this.#beside[stored(tab)] = seq
    if (!isHere) return
    const ids = new Set(post.changes.flat().map(({ id }) => id))
    this.#keepPast(post.id, ids)
    for (const change of post.changes) this.#perform(post.id, change)
    this.#publish(post.id, [...ids], { tab, taken: seq, origin: "tab" })
  }

  /** Makes a change. One that the engine does not take must not keep others from it. */
  #perform(id: string, change: readonly Edit[]): void {
    try {
      const refused = this.#session.edit(id, Date.now(), change.flatMap(flat))
      if (refused) this.#note(id, `an edit was left out: ${refused}`)
    } catch (error) {
      this.#note(id, `a change was left out: ${clientError("writing", error).message}`)
    }
  }

  /** Keeps how entities were. Where there is no room, how they are goes first. */
  #keepPast(id: string, ids: Iterable<string>): void {
    if (!this.#journal.isBehind) Object.assign(this.#beside, this.#past.versions(this.#session, id, ids))
  }

  #publish(id: string, ids: readonly string[], of: { tab: string | undefined; taken: number; origin: Origin }): void {
    const open = this.#open.get(id)
    if (!open) return
    open.version++
    if (ids.length > TOLD_MAX) return this.#tell({ type: "anew", id })
    const news: RawNews = ids.map(entity => [entity, this.#session.object(id, entity), this.#session.texts(id, entity)])
    this.#tell({ type: "news", id, term: this.#term, version: open.version, news, ...of })
  }

  // What happens.

  /** Something happened: what follows from it is stored, and said. */
  #turn(): void {
    if (this.#isEnded) return
    this.#settle().catch((error: unknown) => {
      if (this.#isEnded) return
      const why = clientError("storing", error)
      this.#trouble = failure(why)
      this.#restand()
      if (isFinal(why)) return this.#lost.abort(why)
      if (!this.#isRetrying) this.#later(RETRY_MS, () => this.#storeAgain())
      this.#isRetrying = true
    })
  }

  #storeAgain(): void {
    this.#isRetrying = false
    const turn = () => this.#turn()
    this.#journal.retry().then(turn, turn)
  }

  /** Does something later, unless another tab leads by then. */
  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#isEnded) run()
    }, ms)
    this.#timers.add(timer)
  }

  /** Has the engine do what is due, stores what it hands out, and sends what may be sent. */
  async #settle(): Promise<void> {
    this.#checkLeading()
    const now = Date.now()
    this.#session.tick(now)
    this.#aheadMs = this.#session.relayMs - now
    for (let event = takeEvent(this.#session); event; event = takeEvent(this.#session)) this.#hear(event)
    // The engine hands out everything once: before anything else can go wrong it is in the journal, or that would have a hole.
    const stored = this.#storeDrained()
    this.#connection?.pump()
    this.#isHeard ||= this.#connection?.isWelcome ?? false
    this.#restand()
    this.#look()
    this.#askTokens()
    await stored
  }

  #storeDrained(): Promise<void> | undefined {
    const { replicas, numbers } = this.#drain()
    const meta = this.#beside
    this.#beside = {}
    if (numbers.size === 0 && Object.keys(meta).length === 0) return undefined
    const stored = this.#journal.save({ replicas, meta }, () => {
      this.#remember(meta)
      if (this.#isEnded) return
      for (const [id, { open, number }] of numbers) if (this.#open.get(id) === open) this.#session.saved(id, number)
      if (!this.#journal.isBehind) this.#trouble = undefined
      this.#turn()
    })
    // It is waited for below, if that is reached.
    stored.catch(() => undefined)
    return stored
  }

  /** Whoever waits for something looks again. */
  #look(): void {
    for (const waiter of [...this.#waiters]) waiter.look()
  }

  #drain(): Work {
    const replicas: Record<string, Change[]> = {}
    const numbers = new Map<string, { open: Open | undefined; number: number }>()
    for (let next = takeTransaction(this.#session); next; next = takeTransaction(this.#session)) {
      ;(replicas[next.document] ??= []).push(...next.changes)
      count(this.#open.get(next.document), next.changes)
      numbers.set(next.document, { open: this.#open.get(next.document), number: next.number })
    }
    for (const id of this.#open.keys()) {
      const changed = this.#session.takeKeys(id)
      if (changed) this.#beside[keys(id)] = changed
    }
    return { replicas, numbers }
  }

  #hear({ document: id, name, parts }: EngineEvent): void {
    const open = this.#open.get(id)
    if (!open) return
    switch (name) {
      case "changed": {
        const ids = parts[0] as string[] | undefined
        if (!ids) return this.#anew(id, open)
        this.#keepPast(id, ids)
        return this.#publish(id, ids, { tab: undefined, taken: 0, origin: "remote" })
      }
      case "caughtUp":
        Object.assign(open, { isCaughtUp: true, isDenied: false, lag: 0 })
        return
      case "lag":
        open.lag = parts[0] as number
        return
      case "presence":
        return this.#meet(id, open, parts[0] as string, parts[1] as Uint8Array | undefined)
      case "needsToken":
        open.wantsToken = true
        return
      case "acknowledged":
        return
      case "closed":
        open.isCaughtUp = false
        return this.#note(id, `closed: ${parts.join(" ")}`)
      case "renamed":
      case "refused":
        // What was dropped is gone from the document.
        if (name === "renamed" || parts[1] === "dropped") this.#anew(id, open)
        return this.#note(id, `${name}: ${parts.join(" ")}`)
      default:
        return this.#note(id, [name, ...parts].join(" "))
    }
  }

  /** Anything may be otherwise. */
  #anew(id: string, open: Open): void {
    open.version++
    this.#tell({ type: "anew", id })
  }

  #note(id: string, what: string): void {
    const events = this.#open.get(id)?.events
    events?.unshift({ at: Date.now(), what })
    events?.splice(EVENTS_MAX)
  }

  // How it stands.

  /** How many operations the relay does not have, of these documents. */
  #pending(of: (open: Open) => boolean = () => true): number {
    return [...this.#open].reduce((sum, [id, open]) => sum + (of(open) ? this.#session.unacknowledged(id) : 0), 0)
  }

  #restand(): void {
    const documents = [...this.#open.values()]
    const denied = documents.length > 0 && documents.every(({ isDenied }) => isDenied)
    const behind = documents.reduce((sum, { lag }) => sum + lag, 0)
    const standing: Standing = {
      ...this.#standing,
      connection: this.#connectionOf(documents, denied, behind),
      behind,
      pending: this.#pending(),
      trouble: this.#trouble,
      clockAheadMs: this.#clockAheadMs(),
    }
    if (isSame(Object.values(standing), Object.values(this.#standing))) return
    this.#standing = standing
    this.#tell({ type: "standing", standing })
  }

  /** As it was said, as long as that is about so: it is told to all tabs. */
  #clockAheadMs(): number | undefined {
    const { clockAheadMs: said } = this.#standing
    if (!this.#isHeard) return said
    return said !== undefined && Math.abs(this.#aheadMs - said) < CLOCK_MS ? said : this.#aheadMs
  }

  #connectionOf(documents: readonly Open[], denied: boolean, behind: number): Standing["connection"] {
    const connection = this.#connection
    if (!connection) return "none"
    if (denied) return "denied"
    if (!connection.isOpen) return connection.isOpening ? "connecting" : "offline"
    if (documents.every(isDoneWith)) return behind > 0 ? "behind" : "live"
    return behind > 0 ? "behind" : "connecting"
  }

  /** Says what is left of the disk, and asks the browser to keep what is there. */
  async #measure(): Promise<void> {
    if (this.isVolatile || Date.now() - this.#spaceAt < SPACE_MS) return
    if (this.#spaceAt === 0) await requestPersistence().catch(() => false)
    this.#spaceAt = Date.now()
    const storage = await space().catch(() => undefined)
    if (this.#isEnded) return
    this.#standing = { ...this.#standing, storage }
    this.#tell({ type: "standing", standing: this.#standing })
  }

  /** Waits until `look` finds something, but not longer than the limit. It fails where looking does, and when another tab leads. */
  #until<T>(look: () => T | undefined, limitMs?: number): Promise<T | undefined> {
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

  async #synced(id: string): Promise<void> {
    await this.#load(id)
    // A question lives as long as the tab that leads; the next is asked again.
    await this.#until(() => (this.#session.unacknowledged(id) === 0 && !this.#journal.isBehind) || undefined)
  }

  // Tokens.

  #askTokens(): void {
    if (!this.#connection?.isWelcome) return
    for (const [id, open] of this.#open) {
      if (!open.wantsToken) continue
      open.wantsToken = false
      const early = TOKENS_APART_MS - (performance.now() - open.tokenAt)
      if (early <= 0) void this.#obtain(id, open)
      else this.#askLater(open, early)
    }
  }

  #askLater(open: Open, ms: number): void {
    this.#later(ms, () => {
      open.wantsToken = true
      this.#turn()
    })
  }

  async #obtain(id: string, open: Open): Promise<void> {
    try {
      this.#giveToken(id, await this.#capabilityOf(id, this.#records.get(id)!))
      Object.assign(open, { isDenied: false, tokenAt: performance.now(), refusals: 0 })
      if (!this.#journal.isBehind) this.#trouble = undefined
    } catch (error) {
      if (this.#isEnded || this.#open.get(id) !== open) return
      const why = clientError("getting a token", error)
      open.isDenied = why.kind === "denied"
      this.#trouble = failure(why)
      this.#note(id, why.message)
      // Many devices may have been refused at the same time: not all of them come again together.
      const wait = Math.min((open.isDenied ? DENIED_RETRY_MS : RETRY_MS) * 2 ** open.refusals++, RETRY_MS_MAX)
      this.#askLater(open, wait / 2 + (Math.random() * wait) / 2)
      this.#restand()
    }
  }

  #giveToken(id: string, { token, ends }: Capability): void {
    const known = this.#records.get(id)
    if (this.#isEnded || !known) return
    const renewed = { ...known, token, ends }
    this.#records.set(id, renewed)
    const open = this.#open.get(id)
    // What this device may do is told with the document.
    if (open && !isSame(rightsOf(token), rightsOf(known.token))) this.#anew(id, open)
    this.#session.setToken(id, token, this.#byOwnClock(ends))
    // Where the disk is full it is good all the same.
    this.#beside[record(id)] = renewed
    this.#turn()
  }

  /** When something ends that the relay's clock decides, by this device's: a wrong one would end it at once, or never. */
  #byOwnClock(ends: number | undefined): number | undefined {
    return ends === undefined ? undefined : ends - this.#aheadMs
  }

  async #capabilityOf(id: string, { origin, token }: Known): Promise<Capability> {
    const { token: give } = this.#options
    if (give) {
      const given = await give(id, this.#session.device)
      return { token: given, ends: endOf(given) }
    }
    const capabilities = this.#capabilities!
    const found = () => capabilities.found(this.#signer(), id)
    if (!token) {
      if (origin === "founded") return found()
      throw new ClientError("denied", `nobody gave this device a token for ${id}`)
    }
    const renewed = capabilities.renew(this.#signer(), token)
    // Who founded a document gets a token again, also when the last one ended long ago.
    return origin === "founded" ? renewed.catch(found) : renewed
  }

  #signer(): Signer {
    return { device: this.#session.device, sign: bytes => this.#session.sign(bytes) }
  }

  // Members.

  async #invite(id: string, { rights, once }: { rights: readonly Right[]; once: boolean }): Promise<string> {
    await this.#load(id)
    const token = await this.#until(() => (this.#options.token ? "" : this.#records.get(id)?.token), REACH_MS)
    if (token === undefined || !this.#connection) throw notReached()
    const invitation = this.#session.isEncrypted(id) ? this.#session.invite(id, [...rights], once) : Invitation.plain(id)
    if (invitation.isEncrypted) await this.#pushMembers(id)
    const share = { token, device: invitation.device, rights, link: once ? "once" : "many" } as const
    const shared = this.#options.token ? undefined : await this.#capabilities!.share(this.#signer(), share)
    return invitation.text(shared?.token)
  }

  async #members(id: string): Promise<Member[]> {
    await this.#load(id)
    const flat = this.#session.members(id)
    return Array.from({ length: flat.length / 3 }, (_, at) => {
      const [device, name, rights] = flat.slice(3 * at) as [string, string, string]
      return { device, name, rights: rights.split(" ").filter(Boolean) as Right[], isSelf: device === this.#session.device }
    })
  }

  async #remove(id: string, device: string): Promise<void> {
    await this.#load(id)
    this.#session.removeMember(id, device)
    await this.#pushMembers(id)
  }

  /** Waits until a change of the members counts. */
  async #pushMembers(id: string): Promise<void> {
    const change = this.#session.pendingMembers(id)
    if (change === undefined) return
    await this.#settle()
    const isThere = await this.#until(() => (this.#session.pendingMembers(id) === undefined ? true : undefined), REACH_MS)
    if (!isThere) throw notReached()
    if (!this.#session.areNewestMembers(id, change))
      throw new ClientError("unavailable", "somebody else changed the members; try again")
  }

  async #join(link: string): Promise<string> {
    const text = link.slice(link.lastIndexOf("#") + 1)
    const invitation = Invitation.parse(text)
    const { document: id } = invitation
    const joining = this.#joining.get(id)
    if (joining) return joining
    if (this.#records.has(id)) return this.#allowMore(id, invitation)
    const joined = this.#joinNow(text, invitation).finally(() => this.#joining.delete(id))
    this.#joining.set(id, joined)
    return joined
  }

  async #joinNow(text: string, invitation: Invitation): Promise<string> {
    const { document: id, isEncrypted } = invitation
    if (!this.#connection) throw new ClientError("invalid", "a link needs a relay")
    const { token, ends } = await this.#tokenByLink(invitation)
    const joined: Known = { title: "", isEncrypted, origin: "joined", token, ends }
    if (isEncrypted) this.#session.comeIn(text, this.#deviceName())
    await this.#add(id, joined)
    if (isEncrypted) await this.#comeIn(id, joined)
    await this.#until(() => this.#open.get(id)?.isCaughtUp || undefined, REACH_MS)
    return id
  }

  /** A link to what is here may allow more. Of what is encrypted the list of members decides, which no link changes for one of them. */
  async #allowMore(id: string, invitation: Invitation): Promise<string> {
    const { token, isEncrypted } = this.#records.get(id)!
    const [own, more] = [rightsOf(token), rightsOf(invitation.token)]
    // A link for once lets nobody else in, and takes nothing else away.
    const isMore =
      own && more?.some(right => !own.includes(right)) && own.every(right => right === "join" || more.includes(right))
    if (isMore && !isEncrypted) await this.#giveToken(id, await this.#tokenByLink(invitation))
    return id
  }

  async #tokenByLink(invitation: Invitation): Promise<Capability> {
    const { document: id, device, token } = invitation
    const { token: give } = this.#options
    if (give) {
      const given = await give(id, this.#session.device)
      return { token: given, ends: endOf(given) }
    }
    if (!token) throw new ClientError("denied", "the link has no token")
    const link: Signer = { device, sign: bytes => invitation.sign(bytes) }
    return this.#capabilities!.join(link, token, this.#session.device)
  }

  /** Becomes a member, and reads from the beginning: what was written before opens only now. */
  async #comeIn(id: string, joined: Known): Promise<void> {
    const look = () => {
      if (this.#session.isMember(id) && this.#session.pendingMembers(id) === undefined) return "in"
      return this.#open.get(id)?.isCaughtUp && this.#session.pendingMembers(id) === undefined ? "out" : undefined
    }
    const came = await this.#until(look, REACH_MS)
    if (came !== "in") {
      await this.#forget(id)
      throw came ? new ClientError("denied", "the link lets nobody in: it was used, or taken back") : notReached()
    }
    await this.#settle()
    // It begins anew, and so does what is stored of it.
    this.#session.remove(id)
    this.#session.addNew(id)
    this.#anew(id, this.#begin(id, joined))
    await this.#settle()
  }

  // Presence.

  async #show(tab: string, id: string, state: string | undefined): Promise<void> {
    const open = await this.#load(id)
    this.#checkLeading()
    if (state === undefined) open.tabs.delete(tab)
    else open.tabs.set(tab, JSON.parse(state))
    this.#showTabs(id, open)
  }

  #showTabs(id: string, open: Open): void {
    const shown = open.tabs.size > 0 ? new TextEncoder().encode(JSON.stringify(Object.fromEntries(open.tabs))) : new Uint8Array()
    this.#session.show(id, shown, Date.now())
    this.#tell({ type: "peers", id, peers: peersOf(open) })
    this.#turn()
  }

  #meet(id: string, open: Open, session: string, state: Uint8Array | undefined): void {
    if (state) open.others.set(session, peersIn(state))
    else open.others.delete(session)
    this.#tell({ type: "peers", id, peers: peersOf(open) })
  }

  // Waking.

  /** Kept, so that it is said again whenever a document is opened, also by the service worker. */
  async #wakeBy(wakeUp: WakeUp | undefined): Promise<void> {
    await this.#store.save({ meta: { [WAKE_UP]: wakeUp } })
    this.#checkLeading()
    this.#wakeUp = wakeUp
    for (const id of this.#open.keys()) this.#sayWakeUp(id)
    this.#turn()
  }

  #sayWakeUp(id: string): void {
    const { endpoint, key, secret } = this.#wakeUp ?? {}
    this.#session.wakeBy(id, endpoint, key, secret)
  }

  // The inspector.

  async #inspect(id: string): Promise<Inspection> {
    const [open, { inspect }] = await Promise.all([this.#load(id), import("./inspect.js")])
    this.#checkLeading()
    // The engine's clock goes on with this.
    this.#turn()
    const { title, isEncrypted, token, ends } = this.#records.get(id)!
    const { stored, events } = open
    const beside = {
      title,
      isEncrypted,
      rights: rightsOf(token),
      tokenEnds: ends,
      events: [...events],
      stored,
      peers: peersOf(open),
    }
    return inspect(this.#session, id, beside)
  }

  #deviceName(): string {
    return (this.#options.deviceName ?? browserName()).slice(0, 64)
  }

  #checkLeading(): void {
    if (this.#isEnded) throw new ClientError("superseded", "another tab leads")
  }
}

interface Parts {
  readonly options: WorkspaceOptions
  readonly relay: string | undefined
  readonly tell: (told: Told) => void
  readonly store: Store
  readonly session: Session
  readonly wakeUp: WakeUp | undefined
  readonly records: Map<string, Known>
  readonly found: Standing["found"]
  readonly lost: AbortController
}

/** Opens the store and loads the engine; if one of them fails, the other one is not left behind. */
async function openBoth(options: WorkspaceOptions, lost: AbortController): Promise<Store> {
  const engine = loadEngine(options.engine)
  engine.catch(() => undefined)
  const store = await openOwn(options, lost)
  try {
    await engine
    return store
  } catch (error) {
    store.close()
    throw error
  }
}

async function openOwn({ name, store, onBlocked }: WorkspaceOptions, lost: AbortController): Promise<Store> {
  return store ?? openStore(name, { ...(onBlocked && { onBlocked }), onClosed: why => lost.abort(why) })
}

/**
 * A store without this device in it was thrown away, whoever opened it since: what is remembered comes back, first of all who this device is. Returns
 * whether anything did.
 */
async function comeBack({ name, store: own }: WorkspaceOptions, store: Store): Promise<boolean> {
  if (store.isVolatile || (own && store.found !== "evicted") || (await store.meta("device")) !== undefined) return false
  const remembered = recall(name)
  if (!(remembered["device"] instanceof Uint8Array)) return false
  await store.save({ meta: remembered })
  return true
}

/** The secret of this device: drawn at its first start, and never told. */
async function deviceSecret(name: string, store: Store): Promise<Uint8Array> {
  const known = (await store.meta("device")) as Uint8Array | undefined
  const secret = known ?? crypto.getRandomValues(new Uint8Array(32))
  if (!known) await store.save({ meta: { device: secret } })
  if (!store.isVolatile) remember(name, { device: secret })
  return secret
}

/** An edit in the six parts that the engine reads. */
function flat(edit: Edit): unknown[] {
  const { verb, id } = edit
  switch (edit.verb) {
    case "create":
    case "delete":
      return [verb, id, undefined, undefined, false, undefined]
    case "unset":
      return [verb, id, edit.field, KIND[edit.kind], false, undefined]
    case "push":
    case "squash":
      return [edit.verb === "push" ? "write" : "squash", id, edit.field, KIND.text, false, edit.value]
    default:
      return [verb, id, edit.field, KIND[edit.kind], edit.isFloat ?? false, edit.value]
  }
}

/** Whether nothing more is to be read: all was, or nothing may be. */
function isDoneWith({ isCaughtUp, isDenied }: Open): boolean {
  return isCaughtUp || isDenied
}

function peersOf(open: Open): readonly Peer[] {
  const own = [...open.tabs].map(([id, state]) => ({ id, state }))
  return [...own, ...[...open.others.values()].flat()]
}

/** What the tabs of another session show. What is no such thing is nobody. */
function peersIn(state: Uint8Array): Peer[] {
  try {
    const tabs = JSON.parse(new TextDecoder().decode(state)) as object
    return Object.entries(tabs).map(([id, state]) => ({ id, state: state as unknown }))
  } catch {
    return []
  }
}

/** Keeps count of what is stored. */
function count(open: Open | undefined, changes: readonly Change[]): void {
  for (const change of open ? changes : []) {
    const { bytes, pieces } = open!.stored
    if ("begin" in change) open!.stored = { bytes: change.begin.length, pieces: 1 }
    else open!.stored = { bytes: bytes + change.append.length, pieces: pieces + 1 }
  }
}

function notReached(): ClientError {
  return new ClientError("unavailable", "the relay cannot be reached")
}

/** What people know a browser by. */
function browserName(): string {
  const agent = (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent ?? ""
  return /(Firefox|Edg|Chrome|Safari|Node\.js)/.exec(agent)?.[1] ?? `a device ${toHex(crypto.getRandomValues(new Uint8Array(2)))}`
}
