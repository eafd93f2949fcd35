import { apart, Cell, type Watched } from "./cell.js"
import { ClientError, clientError } from "./error.js"
import { checkName } from "./store.js"
import { channelName, hold, leaderLock, locksOrNone, tabLock } from "./tabs/locks.js"
import { errorOf, type Message, type Post, type ToAll, type ToLeader, type ToTab } from "./tabs/message.js"
import { Office, pause } from "./tabs/office.js"
import { Outbox } from "./tabs/outbox.js"

export type { Post } from "./tabs/message.js"

/** How long a tab that could not begin to lead leaves it to others. */
const STAND_BACK_MS = 1_000

/** What who leads does for all tabs. */
export interface Leading {
  /** Whether what is stored is gone with this tab, as where a store is in memory. */
  readonly isVolatile?: boolean
  /** Ends when this tab can lead no longer, as when its store was taken away; the reason is why. */
  readonly lost?: AbortSignal
  /** The number of the last post of a tab that is stored, by whomever; 0 for none. */
  stored(tab: string): Promise<number>
  /**
   * Stores posts of a tab and the number of the last, together or not at all. It is tried again if it fails, save as `superseded`, `outdated`
   * or `closed`: then another tab leads.
   */
  store(tab: string, posts: readonly Post[]): Promise<void>
  /** Answers what a tab asks. It is asked again of the next that leads, so that asking must change nothing. */
  answer?(question: unknown): unknown
  /** Tabs that something is stored of. */
  known?(): Promise<readonly string[]>
  /** A tab is gone, and everything that came from it is stored. */
  gone?(tab: string): void | Promise<void>
  /** This tab leads no longer. */
  end?(): void | Promise<void>
}

/** What a tab brings. */
export interface TabsOptions {
  /** This tab begins to lead: it opens what one tab may have open. If this fails as `outdated`, it never leads. */
  lead(): Promise<Leading>
  /** Who leads told this to all other tabs. */
  onTold?(body: unknown): void
  /** Another leads from here on; something that was told may have been missed. */
  onLed?(): void
}

/** How this tab stands to the others. */
export interface TabsStatus {
  readonly role: "leader" | "follower"
  /** Whether what is stored is gone with the tab that leads. */
  readonly isVolatile: boolean
  /** Posts that are not stored yet. */
  readonly waiting: number
  /** Why they wait, if it is not just for their turn. */
  readonly trouble: ClientError | undefined
}

/** A tab among those of its origin that use one store: one leads, and does what only one may do. */
export class Tabs {
  /** Of this tab, for as long as it lives. */
  readonly id = crypto.randomUUID()
  readonly #name: string
  readonly #options: TabsOptions
  readonly #status = new Cell<TabsStatus>({
    role: "follower",
    isVolatile: false,
    waiting: 0,
    trouble: undefined,
  })
  readonly #outbox = new Outbox(this.id, message => this.#sendToLeader(message))
  readonly #left = new AbortController()
  /** Ends while the page is put away, to be shown again perhaps: it runs nothing then. */
  #away = new AbortController()
  #shown: Promise<void> = Promise.resolve()
  #channel: BroadcastChannel | undefined
  #office: Office | undefined
  #election: Promise<void> = Promise.resolve()
  #governing: Promise<ClientError> | undefined

  /** Comes to the tabs that use the store of this name. Outside of browsers there may be no locks, and then there are no others. */
  static async join(name: string, options: TabsOptions): Promise<Tabs> {
    checkName(name)
    const tabs = new Tabs(name, options)
    const locks = locksOrNone()
    // A page over plain HTTP has none, and others that it would not see.
    if (!locks && "window" in globalThis) throw new ClientError("unsupported", "tabs need locks, which need HTTPS")
    if (locks) await tabs.#enter(locks)
    tabs.#election = tabs.#stand(locks)
    return tabs
  }

  private constructor(name: string, options: TabsOptions) {
    this.#name = name
    this.#options = options
  }

  get status(): Watched<TabsStatus> {
    return this.#status
  }

  /** The number of the last post of this tab. */
  get posted(): number {
    return this.#outbox.posted
  }

  /** Posts that are not stored yet. */
  get unstored(): readonly Post[] {
    return this.#outbox.unstored
  }

  /** Has something stored by who leads, in the order of the calls; it is, when this resolves. */
  async post(body: unknown): Promise<void> {
    this.#checkHere()
    const stored = this.#outbox.post(body)
    this.#count()
    await stored
  }

  /** Asks who leads. */
  async ask(question: unknown): Promise<unknown> {
    this.#checkHere()
    return this.#outbox.ask(question)
  }

  /** Tells all other tabs; only who leads may. */
  tell(body: unknown): void {
    if (!this.#office) throw new ClientError("invalid", "only the tab that leads tells the others")
    this.#office.tell(body)
  }

  /** Leaves the others. What is being stored is stored first; what waits is refused as `closed`. */
  async close(): Promise<void> {
    this.#left.abort(new ClientError("closed", "the tab has left"))
    this.#outbox.close()
    this.#count()
    await this.#election
    this.#channel?.close()
  }

  /** Begins to hear others. They know that it lives by a lock, which it has before it says a word. */
  async #enter(locks: LockManager): Promise<void> {
    await hold(locks, tabLock(this.#name, this.id), this.#left.signal)
    this.#channel = new BroadcastChannel(channelName(this.#name))
    this.#channel.onmessage = event => event.data && this.#hear(event.data as Message)
    this.#askWho()
    if ("window" in globalThis) this.#watchPage()
  }

  /** Who leads says so. Who leads for want of a tab, as a service worker, makes room for this one. */
  #askWho(): void {
    this.#channel?.postMessage({ type: "who" } satisfies ToAll)
  }

  /** A page that is put away keeps what it holds in some browsers, and hears nothing: it must not lead. */
  #watchPage(): void {
    const { signal } = this.#left
    let show: (() => void) | undefined
    const hide = () => {
      if (show) return
      this.#shown = new Promise(resolve => (show = resolve))
      this.#away.abort(new ClientError("superseded", "the page was put away"))
    }
    const showAgain = () => {
      if (!show) return
      this.#away = new AbortController()
      show()
      show = undefined
      this.#askWho()
    }
    const page = globalThis as unknown as EventTarget
    const isPersisted = (event: Event) => (event as Event & { persisted: boolean }).persisted
    page.addEventListener("pagehide", event => isPersisted(event) && hide(), { signal })
    page.addEventListener("pageshow", event => isPersisted(event) && showAgain(), { signal })
    signal.addEventListener("abort", showAgain)
  }

  /** Stands for election until it leaves, or must not lead. */
  async #stand(locks: LockManager | undefined): Promise<void> {
    const { signal } = this.#left
    let why: ClientError | undefined
    while (!signal.aborted && why?.kind !== "outdated") {
      if (why) await pause(STAND_BACK_MS, signal)
      await this.#shown
      if (!signal.aborted) why = await (locks ? this.#elected(locks) : this.#govern(undefined, signal))
    }
  }

  /** Waits to be elected, leads, and returns why that ended. */
  async #elected(locks: LockManager): Promise<ClientError | undefined> {
    const signal = AbortSignal.any([this.#left.signal, this.#away.signal])
    const stolen = new AbortController()
    this.#governing = undefined
    try {
      const elected = locks.request(leaderLock(this.#name), { signal }, () => {
        this.#governing = this.#govern(locks, AbortSignal.any([signal, stolen.signal]))
        return this.#governing
      })
      this.#askWho()
      return await elected
    } catch {
      // It left while it waited, or somebody stole the lock.
      stolen.abort(new ClientError("superseded", "another tab took over"))
      return this.#governing ?? (this.#away.signal.aborted ? (this.#away.signal.reason as ClientError) : undefined)
    }
  }

  /** Leads until `ended`, or as long as it can; returns why that ended. */
  async #govern(locks: LockManager | undefined, ended: AbortSignal): Promise<ClientError> {
    let office: Office
    try {
      office = await Office.open(this.#options, message => this.#sendToTabs(message))
    } catch (error) {
      return this.#trouble(clientError("beginning to lead", error))
    }
    if (!ended.aborted) await this.#hold(locks, office, ended)
    const why = clientError("leading", ended.aborted ? ended.reason : office.signal.reason)
    // What cannot be ended well is ended all the same.
    const left = office.leave(why).catch(() => undefined)
    // A page that is put away has no time: whoever leads next claims the store.
    if (!this.#away.signal.aborted) await left
    return why
  }

  /** Has the office until it ends. */
  async #hold(locks: LockManager | undefined, office: Office, ended: AbortSignal): Promise<void> {
    this.#office = office
    for (const tab of office.known) this.#watch(locks, office, tab)
    this.#status.set({ role: "leader", trouble: undefined })
    office.announce()
    this.#led(office)
    await firstOf(office.signal, ended)
    this.#office = undefined
    this.#outbox.unled()
    this.#status.set({ role: "follower" })
  }

  /** Waits for a tab's lock, which is free once the tab is gone. */
  #watch(locks: LockManager | undefined, office: Office, tab: string): void {
    if (!locks || tab === this.id) return
    const watch = locks.request(tabLock(this.#name, tab), { signal: office.signal }, () => office.gone(tab))
    // What could not be cleared away is still known to the next that leads.
    watch.catch(() => undefined)
  }

  #hear(message: Message): void {
    switch (message.type) {
      case "who":
        return this.#office?.announce()
      case "post":
      case "ask":
        return this.#receive(message)
      case "lead":
        return this.#led(message)
      case "tell":
        return apart(() => this.#options.onTold?.(message.body))
      default:
        if (message.tab === this.id) this.#hearReply(message)
    }
  }

  #hearReply(message: ToTab): void {
    switch (message.type) {
      case "stored":
        this.#outbox.stored(message.seq)
        this.#status.set({ trouble: undefined })
        return this.#count()
      case "stuck":
        return void this.#trouble(errorOf(message.why))
      case "answer":
        return this.#outbox.answered(message.term, message.id, message.answer)
    }
  }

  #receive(message: ToLeader): void {
    const office = this.#office
    if (office?.receive(message)) this.#watch(locksOrNone(), office, message.tab)
  }

  #led({ term, isVolatile }: { term: string; isVolatile: boolean }): void {
    this.#status.set({ isVolatile })
    if (!this.#outbox.led(term)) return
    // What kept this tab from leading counts no more, unless it is for ever: another leads.
    const { trouble } = this.#status.value
    this.#status.set({ trouble: trouble?.kind === "outdated" ? trouble : undefined })
    if (this.#office?.term !== term) apart(() => this.#options.onLed?.())
  }

  #sendToLeader(message: ToLeader): void {
    if (this.#office) this.#receive(message)
    else this.#channel?.postMessage(message)
  }

  #sendToTabs(message: ToTab | ToAll): void {
    if ("tab" in message && message.tab === this.id) this.#hearReply(message)
    else this.#channel?.postMessage(message)
  }

  #trouble(why: ClientError): ClientError {
    this.#status.set({ trouble: why })
    return why
  }

  #count(): void {
    this.#status.set({ waiting: this.#outbox.waiting })
  }

  #checkHere(): void {
    if (this.#left.signal.aborted) throw new ClientError("closed", "the tab has left")
  }
}

/** Leads for as long as `work` takes, if nobody leads now; returns whether it did. For service workers, which come and go. */
export async function leadMeanwhile(name: string, work: () => Promise<void>): Promise<boolean> {
  checkName(name)
  const locks = locksOrNone()
  if (!locks) throw new ClientError("unsupported", "there are no locks here")
  return locks.request(leaderLock(name), { ifAvailable: true }, async lock => {
    if (lock) await work()
    return lock !== null
  })
}

/** Waits until one of these has ended. */
function firstOf(...signals: AbortSignal[]): Promise<void> {
  const signal = AbortSignal.any(signals)
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve())
  })
}
