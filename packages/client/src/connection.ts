import type { Session } from "./engine.js"
import { ClientError, clientError } from "./error.js"

const SUBPROTOCOL = "selvedge-sync.1"
/** Timers wait no longer than this; what is due later is looked at again then. */
const TIMER_MS_MAX = 60 * 60_000
/** A socket that has so much to send gets no more for now. */
const BUFFERED_BYTES_MAX = 8 << 20
/** A connection may take so long to come about: a network that swallows everything would hold it for minutes. */
const DIAL_MS = 60_000
/** What was sent and waits for an answer waits no longer, and a second for so many bytes: a network may be gone without a word, or slow. */
const ANSWER_MS = 45_000
const BYTES_PER_MS = 4
/** Who is woken so much too late was asleep, and so was the network; a page that is hidden is a minute late at times. */
const ASLEEP_MS = 120_000

/** States of a WebSocket; not every Node has its constants. */
const CONNECTING = 0
const OPEN = 1

/** Makes a WebSocket. */
export type Dial = (url: string, protocol: string) => WebSocket

/** What the owner of a connection is told. */
export interface ConnectionOptions {
  readonly url: string
  readonly dial: Dial | undefined
  /** A message came, a time did, or the connection did or went. */
  onTurn(): void
  /** No connection can be made like that: the address, or what the page may do. */
  onFailed(why: ClientError): void
  /** Whether something was sent that the relay answers. */
  isAnswerDue(): boolean
}

/** Carries messages between the engine and its relay, and keeps the time. */
export class Connection {
  readonly #session: Session
  readonly #options: ConnectionOptions
  readonly #closed = new AbortController()
  #socket: WebSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #isWelcome = false
  #dialing: ReturnType<typeof setTimeout> | undefined
  /** Until when the relay may be silent: something was sent, and nothing heard since. By a clock that does not jump. */
  #silentUntil: number | undefined

  constructor(session: Session, options: ConnectionOptions) {
    this.#session = session
    this.#options = options
    const { signal } = this.#closed
    // Workers and pages hear of networks, Node does not.
    globalThis.addEventListener?.("online", () => this.#redial(), { signal })
    // A socket would notice after a minute, and until then nobody would say that what is written waits.
    globalThis.addEventListener?.("offline", () => this.#goOffline(), { signal })
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === OPEN
  }

  get isOpening(): boolean {
    return this.#socket?.readyState === CONNECTING
  }

  /** Whether the relay has said something: then it is known what time it is there. */
  get isWelcome(): boolean {
    return this.isOpen && this.#isWelcome
  }

  /** A network is there: no waiting. */
  hurry(): void {
    this.#session.hurry()
    this.#options.onTurn()
  }

  /** Another network: what was on the old one hears nothing more. */
  #redial(): void {
    if (this.#socket) this.#disconnect()
    this.hurry()
  }

  /** Sends what is to be sent, connects or disconnects, and has itself woken. */
  pump(): void {
    if (this.#closed.signal.aborted) return
    if (this.#isDead()) this.#disconnect()
    this.#send()
    // What is owed begins to be late with what was sent first of it.
    if (this.#silentUntil !== undefined && !this.#options.isAnswerDue()) this.#silentUntil = undefined
    const want = this.#session.wants(Date.now())
    if (want === "connect" && !this.#socket) this.#connect()
    if (want === "disconnect") this.#disconnect()
    this.#wake()
  }

  /** Says goodbye. */
  close(): void {
    this.#closed.abort()
    clearTimeout(this.#timer)
    this.#drop()
  }

  #send(): void {
    const socket = this.#socket
    if (socket && socket.bufferedAmount > BUFFERED_BYTES_MAX) return
    for (let message = this.#session.takeMessage(); message; message = this.#session.takeMessage()) {
      // Without a connection there is nobody to hear it: the engine says it again to the next.
      if (socket?.readyState !== OPEN) continue
      socket.send(message as Uint8Array<ArrayBuffer>)
      this.#silentUntil ??= performance.now() + ANSWER_MS
      this.#silentUntil += message.length / BYTES_PER_MS
    }
  }

  /** Whether the relay owes an answer for too long. */
  #isDead(): boolean {
    return this.isOpen && this.#silentUntil !== undefined && performance.now() >= this.#silentUntil && this.#options.isAnswerDue()
  }

  #connect(): void {
    if (isOffline()) return this.#session.disconnected(Date.now())
    const socket = this.#dial()
    if (!socket) return this.#session.disconnected(Date.now())
    this.#socket = socket
    this.#isWelcome = false
    this.#silentUntil = undefined
    this.#dialing = setTimeout(() => this.#turn(socket, () => !this.isOpen && this.#disconnect()), DIAL_MS)
    unref(this.#dialing)
    socket.onopen = () => this.#turn(socket, () => this.#session.connected(Date.now()))
    socket.onmessage = ({ data }) =>
      this.#turn(socket, () => {
        this.#isWelcome = true
        this.#silentUntil = undefined
        if (data instanceof ArrayBuffer) this.#session.receive(Date.now(), new Uint8Array(data))
      })
    socket.onclose = () =>
      this.#turn(socket, () => {
        this.#drop()
        this.#session.disconnected(Date.now())
      })
  }

  /** Makes a socket, if one can be made: a page may be forbidden to. */
  #dial(): WebSocket | undefined {
    const { url, dial = (url, protocol) => new WebSocket(url, protocol) } = this.#options
    try {
      const socket = dial(url, SUBPROTOCOL)
      socket.binaryType = "arraybuffer"
      return socket
    } catch (error) {
      this.#options.onFailed(clientError("connecting to the relay", error))
      return undefined
    }
  }

  /** Something happened to a socket, unless it was given up before. */
  #turn(socket: WebSocket, happen: () => unknown): void {
    if (socket !== this.#socket) return
    happen()
    this.#options.onTurn()
  }

  #goOffline(): void {
    if (!this.#socket) return
    this.#disconnect()
    this.#options.onTurn()
  }

  #disconnect(): void {
    this.#drop()
    this.#session.disconnected(Date.now())
  }

  #drop(): void {
    clearTimeout(this.#dialing)
    this.#socket?.close()
    this.#socket = undefined
  }

  #wake(): void {
    clearTimeout(this.#timer)
    const [now, silence] = [Date.now(), this.#silenceMs()]
    const at = this.#session.wakeAt
    if (at === undefined && silence === undefined) return
    const wait = Math.min(Math.max((at ?? Infinity) - now, 0), silence ?? Infinity, TIMER_MS_MAX)
    this.#timer = setTimeout(() => this.#woken(Date.now() - now - wait), wait)
    unref(this.#timer)
  }

  /** For how long the relay may go on to be silent; undefined if it owes nothing. */
  #silenceMs(): number | undefined {
    const left = this.isOpen && this.#silentUntil !== undefined ? this.#silentUntil - performance.now() : 0
    return left > 0 ? left : undefined
  }

  #woken(lateMs: number): void {
    if (lateMs > ASLEEP_MS && this.isOpen) this.#disconnect()
    this.#options.onTurn()
  }
}

/** A program in Node that has nothing else to do may end. */
function unref(timer: ReturnType<typeof setTimeout>): void {
  ;(timer as { unref?: () => void }).unref?.()
}

/** Whether the browser knows that there is no network: then the console need not hear of it. */
function isOffline(): boolean {
  return (globalThis as { navigator?: { onLine?: boolean } }).navigator?.onLine === false
}
