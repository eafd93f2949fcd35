import { Capabilities, endOf, rightsOf, type Capability, type Share, type Signer } from "../capability.js"
import { ClientError, clientError } from "../error.js"
import type { Invitation, Session } from "../session.js"
import { isSame } from "../values.js"
import type { WorkspaceOptions } from "../workspace.js"
import type { RelayClock } from "./clock.js"
import type { Documents } from "./documents.js"
import { note, type Open } from "./open.js"
import type { Known } from "./record.js"
import type { Report } from "./report.js"
import type { Storing } from "./storing.js"
import type { Telling } from "./telling.js"
import type { Term } from "./term.js"

/** When it is tried again to get a token; it is longer each time, and at most this. */
const RETRY_MS = 5_000
const RETRY_MS_MAX = 600_000
const DENIED_RETRY_MS = 60_000
/** Tokens are asked for no more often than this, however soon they end. */
const TOKENS_APART_MS = 10_000

/** What tokens are wired to. */
interface TokensParts {
  /** Who gives tokens, if not the relay. */
  readonly give: WorkspaceOptions["token"]
  /** Its whole address, if there is one. */
  readonly relay: string | undefined
  readonly session: Session
  readonly documents: Documents
  readonly storing: Storing
  readonly telling: Telling
  readonly report: Report
  readonly clock: RelayClock
  readonly term: Term
  turn(): void
}

/** Tokens of this device: who gives them, and when they are asked for. */
export class Tokens {
  readonly #parts: TokensParts
  readonly #capabilities: Capabilities | undefined

  constructor(parts: TokensParts) {
    this.#parts = parts
    const { relay, session } = parts
    this.#capabilities = relay === undefined ? undefined : new Capabilities(relay, () => session.relayMs)
  }

  /** Whether the application gives them, and not the relay. */
  get areGiven(): boolean {
    return this.#parts.give !== undefined
  }

  /** The engine has a document from here on, and its token. */
  begin(id: string, { token, ends }: Known): void {
    if (token) this.#parts.session.setToken(id, token, this.#parts.clock.byOwn(ends))
  }

  /** Asks for what the engine wants. */
  ask(): void {
    for (const [id, open] of this.#parts.documents.opens) {
      if (!open.wantsToken) continue
      open.wantsToken = false
      const early = TOKENS_APART_MS - (performance.now() - open.tokenAt)
      if (early <= 0) void this.#obtain(id, open)
      else this.#askLater(open, early)
    }
  }

  /** A document has another token. */
  take(id: string, { token, ends }: Capability): void {
    const { session, documents, telling, clock, term, turn } = this.#parts
    const known = documents.known(id)
    if (term.isOver || !known) return
    const open = documents.opens.get(id)
    // What this device may do is told with the document.
    const isOther = !isSame(rightsOf(token), rightsOf(known.token))
    // Where the disk is full it is good all the same.
    documents.change(id, { ...known, token, ends })
    if (open && isOther) telling.anew(id, open)
    session.setToken(id, token, clock.byOwn(ends))
    turn()
  }

  /** What who opens a link gets. */
  async byLink(invitation: Invitation): Promise<Capability> {
    const { document: id, device, token } = invitation
    const { give, session } = this.#parts
    if (give) return given(await give(id, session.device))
    if (!token) throw new ClientError("denied", "the link has no token")
    const link: Signer = { device, sign: bytes => invitation.sign(bytes) }
    return this.#capabilities!.join(link, token, session.device)
  }

  /** A token for a link, from the relay. */
  share(share: Share): Promise<Capability> {
    return this.#capabilities!.share(this.#signer(), share)
  }

  async #obtain(id: string, open: Open): Promise<void> {
    const { documents, storing, report, term } = this.#parts
    try {
      this.take(id, await this.#capabilityOf(id, documents.known(id)!))
      Object.assign(open, { isDenied: false, tokenAt: performance.now(), refusals: 0 })
      if (!storing.isBehind) report.clear()
    } catch (error) {
      if (term.isOver || documents.opens.get(id) !== open) return
      const why = clientError("getting a token", error)
      open.isDenied = why.kind === "denied"
      report.blame(why)
      note(open, why.message)
      // Many devices may have been refused at the same time: not all of them come again together.
      const wait = Math.min((open.isDenied ? DENIED_RETRY_MS : RETRY_MS) * 2 ** open.refusals++, RETRY_MS_MAX)
      this.#askLater(open, wait / 2 + (Math.random() * wait) / 2)
      report.look()
    }
  }

  #askLater(open: Open, ms: number): void {
    this.#parts.term.later(ms, () => {
      open.wantsToken = true
      this.#parts.turn()
    })
  }

  async #capabilityOf(id: string, { origin, token }: Known): Promise<Capability> {
    const { give, session } = this.#parts
    if (give) return given(await give(id, session.device))
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
    const { session } = this.#parts
    return { device: session.device, sign: bytes => session.sign(bytes) }
  }
}

function given(token: string): Capability {
  return { token, ends: endOf(token) }
}
