import { rightsOf } from "./capability.js"
import { Connection } from "./connection.js"
import { KIND, type Edit } from "./entity.js"
import { clientError, isFinal } from "./error.js"
import { RelayClock } from "./keeper/clock.js"
import { Documents } from "./keeper/documents.js"
import { Members } from "./keeper/members.js"
import { isDoneWith, note, type Open } from "./keeper/open.js"
import { peersOf, PresenceDesk } from "./keeper/presence.js"
import { storedKey } from "./keeper/record.js"
import { Report } from "./keeper/report.js"
import { Storing } from "./keeper/storing.js"
import { takeOver, type Taken } from "./keeper/takeover.js"
import { Telling } from "./keeper/telling.js"
import { Term } from "./keeper/term.js"
import { Tokens } from "./keeper/tokens.js"
import { Waking } from "./keeper/waking.js"
import { hasWords, leaveWords, wordsLeft } from "./last-words.js"
import { takeEvent, type EngineEvent, type Session } from "./session.js"
import type { Store } from "./store.js"
import type { Leading, Post } from "./tabs.js"
import { toHex } from "./values.js"
import type { Asked, DocumentPost, Hello, Opened, Question, Told } from "./words.js"
import type { Whole } from "./whole.js"
import type { Former, Inspection, WorkspaceOptions } from "./workspace.js"

/** When it is tried again to store what could not be. */
const RETRY_MS = 5_000

/** Whether something came about. */
const CAME_ABOUT = [() => true, () => false] as const

/** What the tab that leads does: it has the documents, the store and the connection. */
export class Keeper implements Leading {
  readonly isVolatile: boolean
  readonly #options: WorkspaceOptions
  readonly #term = new Term()
  readonly #store: Store
  readonly #session: Session
  readonly #clock: RelayClock
  readonly #connection: Connection | undefined
  readonly #storing: Storing
  readonly #documents: Documents
  readonly #telling: Telling
  readonly #report: Report
  readonly #tokens: Tokens
  readonly #members: Members
  readonly #presence: PresenceDesk
  readonly #waking: Waking
  /** The last post of each tab that was taken in. */
  readonly #taken = new Map<string, number>()
  readonly #lost: AbortController
  #isRetrying = false

  /** Takes over what is stored; `relay` is its whole address. */
  static async open(options: WorkspaceOptions, relay: string | undefined, tell: (told: Told) => void): Promise<Keeper> {
    const lost = new AbortController()
    const taken = await takeOver(options, lost)
    const keeper = new Keeper(options, taken, { relay, tell, lost })
    // What goes wrong with that is no reason not to lead: they stay.
    await keeper.#hearLastWords().catch(() => undefined)
    return keeper
  }

  private constructor(options: WorkspaceOptions, taken: Taken, { relay, tell, lost }: Outside) {
    const { store, session, records, early, found, wakeUp } = taken
    const opens = new Map<string, Open>()
    const deviceName = () => (options.deviceName ?? browserName()).slice(0, 64)
    const settle = () => this.#settle()
    const turn = () => this.#turn()
    const base = { store, session, opens, term: this.#term, tell, deviceName, settle, turn }
    this.isVolatile = store.isVolatile
    this.#options = options
    this.#store = store
    this.#session = session
    this.#lost = lost
    this.#clock = new RelayClock(session)
    this.#connection = relay === undefined ? undefined : this.#connectionTo(relay)
    this.#storing = new Storing({ ...base, name: options.name, onStored: () => this.#stored() })
    this.#telling = new Telling(base)
    const wired = { ...base, storing: this.#storing, telling: this.#telling, clock: this.#clock }
    this.#report = new Report({ ...wired, isVolatile: store.isVolatile, connection: this.#connection, found })
    this.#waking = new Waking(base, wakeUp)
    this.#documents = new Documents({
      ...wired,
      records,
      early,
      onBegun: (id, known) => {
        this.#tokens.begin(id, known)
        this.#waking.begin(id)
      },
    })
    const whole = { ...wired, documents: this.#documents, report: this.#report }
    this.#tokens = new Tokens({ ...whole, give: options.token, relay })
    this.#members = new Members({ ...whole, tokens: this.#tokens, hasRelay: relay !== undefined })
    this.#presence = new PresenceDesk(base)
    void this.#documents.loadAll()
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async stored(tab: string): Promise<number> {
    const seq = Number((await this.#store.meta(storedKey(tab))) ?? 0)
    this.#taken.set(tab, Math.max(seq, this.#taken.get(tab) ?? 0))
    return seq
  }

  async store(tab: string, posts: readonly Post[]): Promise<void> {
    try {
      for (const { seq, body } of posts) if (seq > (this.#taken.get(tab) ?? 0)) await this.#take(tab, seq, body as DocumentPost)
    } finally {
      // What was taken in is stored though what comes behind cannot be taken in now, and also what could not be stored before.
      this.#storing.put(storedKey(tab), this.#taken.get(tab))
      await this.#settle()
    }
    await this.#storing.retry()
    void this.#report.measure()
  }

  async known(): Promise<string[]> {
    return (await this.#store.metaKeys(storedKey(""))).map(key => key.slice(storedKey("").length))
  }

  async gone(tab: string): Promise<void> {
    this.#taken.delete(tab)
    for (const [id, open] of this.#documents.opens) this.#presence.gone(tab, id, open)
    // What it left and cannot be stored yet would be stored again without this number.
    if (!this.#options.store && hasWords(this.#options.name, tab)) return
    await this.#store.save({ meta: { [storedKey(tab)]: undefined } })
  }

  async end(): Promise<void> {
    this.#term.end()
    this.#connection?.close()
    await this.#storing.idle()
    this.#session.free()
    this.#store.close()
  }

  answer(asked: unknown): Promise<unknown> {
    const { tab, question } = asked as Asked
    return this.#answer(tab, question)
  }

  /** The network is there, or the page is: nothing is waited for. */
  hurry(): void {
    if (!this.#term.isOver) this.#connection?.hurry()
  }

  /** Waits until the relay has everything; `false` where that takes longer than `limitMs`, or is not `wanted` any more. */
  async flushed(limitMs: number, wanted?: AbortSignal): Promise<boolean> {
    await this.#documents.loadAll()
    if (!this.#connection) return true
    const isAll = () => this.#report.pending() === 0 && [...this.#documents.opens.values()].every(isDoneWith)
    wanted?.addEventListener("abort", () => this.#term.look())
    return (await this.#term.until(() => (wanted?.aborted ? false : isAll() || undefined), limitMs)) ?? false
  }

  async #answer(tab: string, question: Question): Promise<unknown> {
    switch (question.type) {
      case "hello":
        return { device: this.#session.device, standing: this.#report.standing } satisfies Hello
      case "documents":
        return this.#documents.infos()
      case "create":
        return this.#documents.create(question.id, question)
      case "open":
        return this.#opened(tab, question.id)
      case "join":
        return this.#members.join(question.link)
      case "forget":
        return this.#forget(question.id)
      case "synced":
        return this.#synced(question.id)
      case "history":
        return this.#history(question)
      case "invite":
        return this.#members.invite(question.id, question)
      case "members":
        return this.#members.list(question.id)
      case "remove":
        return this.#members.remove(question.id, question.device)
      case "inspect":
        return this.#inspect(question.id)
      case "wake":
        return this.#waking.change(question.by)
      case "show":
        return this.#show(tab, question.id, question.state)
      case "hurry":
        return this.hurry()
    }
  }

  async #opened(tab: string, id: string): Promise<Opened> {
    if (!this.#documents.known(id) && this.#options.token)
      await this.#documents.add(id, { title: "", isEncrypted: false, origin: "given" })
    const open = await this.#documents.load(id)
    if (!this.#taken.has(tab)) await this.stored(tab)
    this.#term.check()
    // From here on nothing is waited for: all of this is of one moment.
    const taken = this.#taken.get(tab) ?? 0
    const { title, isEncrypted, token } = this.#documents.known(id)!
    const info = { title, isEncrypted, rights: rightsOf(token) }
    const whole = this.#session.whole(id) as unknown as Whole
    return { term: this.#term.id, version: open.version, whole, taken, info, peers: peersOf(open) }
  }

  /** Whoever shows it still is told: what they write from here on is kept nowhere. */
  async #forget(id: string): Promise<void> {
    try {
      await this.#documents.forget(id)
    } finally {
      if (!this.#documents.known(id)) this.#telling.forgotten(id)
    }
  }

  async #history(question: Extract<Question, { type: "history" }>): Promise<Former[]> {
    await this.#documents.load(question.id)
    return this.#storing.past.of(question, this.#session.replicaOf(question.id))
  }

  async #synced(id: string): Promise<void> {
    await this.#documents.load(id)
    // A question lives as long as the tab that leads; the next is asked again.
    await this.#term.until(() => (this.#session.unacknowledged(id) === 0 && !this.#storing.isBehind) || undefined)
  }

  async #show(tab: string, id: string, state: string | undefined): Promise<void> {
    const open = await this.#documents.load(id)
    this.#term.check()
    this.#presence.show(tab, id, open, state)
  }

  async #inspect(id: string): Promise<Inspection> {
    const [open, { inspect }] = await Promise.all([this.#documents.load(id), import("./inspect.js")])
    this.#term.check()
    // The engine's clock goes on with this.
    this.#turn()
    const { title, isEncrypted, token, ends } = this.#documents.known(id)!
    const { stored, events } = open
    const own = { title, isEncrypted, rights: rightsOf(token), tokenEnds: ends }
    return inspect(this.#session, id, { ...own, events: [...events], stored, peers: peersOf(open) })
  }

  /** Takes in what tabs before could not store. What cannot be stored now either stays for the next. */
  async #hearLastWords(): Promise<void> {
    const { name, store: own } = this.#options
    for (const { tab, posts } of own ? [] : wordsLeft(name)) {
      const last = await this.stored(tab)
      const left = posts.filter(({ seq }) => seq > last)
      const isStored = left.length === 0 || (await this.store(tab, left).then(...CAME_ABOUT))
      if (isStored) leaveWords(name, { tab, posts: [] })
    }
  }

  async #take(tab: string, seq: number, post: DocumentPost): Promise<void> {
    const isHere = await this.#documents.load(post.id).then(
      () => true,
      (error: unknown) => {
        // It was forgotten while this was on its way. What is kept and cannot be read now may be later.
        if (this.#documents.known(post.id)) throw error
        return false
      },
    )
    this.#term.check()
    // From here on nothing is waited for: what is drained at any time has the number with the edits.
    this.#taken.set(tab, seq)
    this.#storing.put(storedKey(tab), seq)
    // Who did not hear of it, as a page that was put away, hears it now.
    if (!isHere) return this.#telling.forgotten(post.id)
    const ids = new Set(post.changes.flat().map(({ id }) => id))
    this.#storing.putPast(post.id, ids)
    for (const change of post.changes) this.#perform(post.id, change)
    this.#telling.publish(post.id, [...ids], { tab, taken: seq, origin: "tab" })
  }

  /** Makes a change. One that the engine does not take must not keep others from it. */
  #perform(id: string, change: readonly Edit[]): void {
    const open = this.#documents.opens.get(id)
    try {
      const refused = this.#session.edit(id, Date.now(), change.flatMap(flat))
      if (refused) note(open, `an edit was left out: ${refused}`)
    } catch (error) {
      note(open, `a change was left out: ${clientError("writing", error).message}`)
    }
  }

  #connectionTo(relay: string): Connection {
    return new Connection(this.#session, {
      url: relay.replace(/^http/, "ws"),
      dial: this.#options.webSocket,
      onTurn: () => this.#turn(),
      onFailed: why => this.#report.blame(why),
      isAnswerDue: () => this.#report.pending(open => !open.isDenied) > 0 && !this.#storing.isBehind,
    })
  }

  /** Something happened: what follows from it is stored, and said. */
  #turn(): void {
    if (this.#term.isOver) return
    this.#settle().catch((error: unknown) => {
      if (this.#term.isOver) return
      const why = clientError("storing", error)
      this.#report.blame(why)
      this.#report.look()
      if (isFinal(why)) return this.#lost.abort(why)
      if (!this.#isRetrying) this.#term.later(RETRY_MS, () => this.#storeAgain())
      this.#isRetrying = true
    })
  }

  #storeAgain(): void {
    this.#isRetrying = false
    const turn = () => this.#turn()
    this.#storing.retry().then(turn, turn)
  }

  /** Has the engine do what is due, stores what it hands out, and sends what may be sent. */
  async #settle(): Promise<void> {
    this.#term.check()
    this.#clock.tick()
    for (let event = takeEvent(this.#session); event; event = takeEvent(this.#session)) this.#hear(event)
    const stored = this.#storing.drain()
    this.#connection?.pump()
    const isWelcome = this.#connection?.isWelcome ?? false
    if (isWelcome) this.#clock.heard()
    this.#report.look()
    this.#term.look()
    if (isWelcome) this.#tokens.ask()
    await stored
  }

  #stored(): void {
    if (!this.#storing.isBehind) this.#report.clear()
    this.#turn()
  }

  #hear({ document: id, name, parts }: EngineEvent): void {
    const open = this.#documents.opens.get(id)
    if (!open) return
    switch (name) {
      case "changed": {
        const ids = parts[0] as string[] | undefined
        if (!ids) return this.#telling.anew(id, open)
        this.#storing.putPast(id, ids)
        return this.#telling.publish(id, ids, { tab: undefined, taken: 0, origin: "remote" })
      }
      case "caughtUp":
        Object.assign(open, { isCaughtUp: true, isDenied: false, lag: 0 })
        return
      case "lag":
        open.lag = parts[0] as number
        return
      case "presence":
        return this.#presence.meet(id, open, parts[0] as string, parts[1] as Uint8Array | undefined)
      case "needsToken":
        open.wantsToken = true
        return
      case "acknowledged":
        return
      case "closed":
        open.isCaughtUp = false
        return note(open, `closed: ${parts.join(" ")}`)
      case "renamed":
      case "refused":
        // What was dropped is gone from the document.
        if (name === "renamed" || parts[1] === "dropped") this.#telling.anew(id, open)
        return note(open, `${name}: ${parts.join(" ")}`)
      default:
        return note(open, [name, ...parts].join(" "))
    }
  }
}

/** What a keeper is wired to outside. */
interface Outside {
  readonly relay: string | undefined
  readonly lost: AbortController
  tell(told: Told): void
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

/** What people know a browser by. */
function browserName(): string {
  const agent = (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent ?? ""
  return /(Firefox|Edg|Chrome|Safari|Node\.js)/.exec(agent)?.[1] ?? `a device ${toHex(crypto.getRandomValues(new Uint8Array(2)))}`
}
