import { rightsOf } from "../capability.js"
import { ClientError } from "../error.js"
import { Invitation, type Session } from "../session.js"
import type { Member, Right } from "../workspace.js"
import type { Documents } from "./documents.js"
import type { Known } from "./record.js"
import type { Telling } from "./telling.js"
import type { Term } from "./term.js"
import type { Tokens } from "./tokens.js"

/** How long the relay is waited for where nothing can be done without it. */
const REACH_MS = 30_000

/** Why a member of an encrypted document gets nothing by a link that allows more, and what to do about it. */
const IS_MEMBER =
  "this device is a member already, and no link changes what a member may do: have it taken out, forget the document here, and open a link that is made after that"

const NOT_LET_IN = "the link lets nobody in: it was used, or taken back, or is older than the removal of this device"

/** What members are wired to. */
interface MembersParts {
  readonly hasRelay: boolean
  readonly session: Session
  readonly documents: Documents
  readonly tokens: Tokens
  readonly telling: Telling
  readonly term: Term
  /** What this device is called where members are listed. */
  deviceName(): string
  settle(): Promise<void>
}

/** Who is let into documents, and how this device comes into those of others. */
export class Members {
  readonly #parts: MembersParts
  readonly #joining = new Map<string, Promise<string>>()

  constructor(parts: MembersParts) {
    this.#parts = parts
  }

  /** Makes a link. */
  async invite(id: string, { rights, once }: { rights: readonly Right[]; once: boolean }): Promise<string> {
    const { hasRelay, session, documents, tokens, term } = this.#parts
    await documents.load(id)
    const token = await term.until(() => (tokens.areGiven ? "" : documents.known(id)?.token), REACH_MS)
    if (token === undefined || !hasRelay) throw notReached()
    const invitation = session.isEncrypted(id) ? session.invite(id, [...rights], once) : Invitation.plain(id)
    if (invitation.isEncrypted) await this.#push(id)
    const share = { token, device: invitation.device, rights, link: once ? "once" : "many" } as const
    const shared = tokens.areGiven ? undefined : await tokens.share(share)
    return invitation.text(shared?.token)
  }

  async list(id: string): Promise<Member[]> {
    const { session, documents } = this.#parts
    await documents.load(id)
    const flat = session.members(id)
    return Array.from({ length: flat.length / 3 }, (_, at) => {
      const [device, name, rights] = flat.slice(3 * at) as [string, string, string]
      return { device, name, rights: rights.split(" ").filter(Boolean) as Right[], isSelf: device === session.device }
    })
  }

  async remove(id: string, device: string): Promise<void> {
    await this.#parts.documents.load(id)
    this.#parts.session.removeMember(id, device)
    await this.#push(id)
  }

  /** Comes in by a link, and returns to what. */
  async join(link: string): Promise<string> {
    const text = link.slice(link.lastIndexOf("#") + 1)
    const invitation = Invitation.parse(text)
    const { document: id } = invitation
    const joining = this.#joining.get(id)
    if (joining) return joining
    const known = this.#parts.documents.known(id)
    if (known) return this.#allowMore(id, known, invitation)
    const joined = this.#joinNow(text, invitation).finally(() => this.#joining.delete(id))
    this.#joining.set(id, joined)
    return joined
  }

  async #joinNow(text: string, invitation: Invitation): Promise<string> {
    const { document: id, isEncrypted } = invitation
    const { hasRelay, session, documents, tokens, term, deviceName } = this.#parts
    if (!hasRelay) throw new ClientError("invalid", "a link needs a relay")
    const { token, ends } = await tokens.byLink(invitation)
    const joined: Known = { title: "", isEncrypted, origin: "joined", token, ends }
    if (isEncrypted) session.comeIn(text, deviceName())
    await documents.add(id, joined)
    if (isEncrypted) await this.#comeIn(id, joined)
    const isAllRead = await term.until(() => documents.opens.get(id)?.isCaughtUp || undefined, REACH_MS)
    // A link that is older than the removal of this device begins where it was a member.
    if (isEncrypted && isAllRead && !session.isMember(id)) {
      await documents.forget(id)
      throw new ClientError("denied", NOT_LET_IN)
    }
    return id
  }

  /** A link to what is here may allow more. Of what is encrypted the list of members says who may do what, and a link only brings in who is not in it. */
  async #allowMore(id: string, { token, isEncrypted }: Known, invitation: Invitation): Promise<string> {
    const [own, more] = [rightsOf(token), rightsOf(invitation.token)]
    // A link for once lets nobody else in, and takes nothing else away.
    const isMore =
      own && more?.some(right => !own.includes(right)) && own.every(right => right === "join" || more.includes(right))
    if (isMore && isEncrypted) throw new ClientError("denied", IS_MEMBER)
    if (isMore) this.#parts.tokens.take(id, await this.#parts.tokens.byLink(invitation))
    return id
  }

  /** Becomes a member, and reads from the beginning: what was written before opens only now. */
  async #comeIn(id: string, joined: Known): Promise<void> {
    const { session, documents, telling, term, settle } = this.#parts
    const look = () => {
      if (session.isMember(id) && session.pendingMembers(id) === undefined) return "in"
      return documents.opens.get(id)?.isCaughtUp && session.pendingMembers(id) === undefined ? "out" : undefined
    }
    const came = await term.until(look, REACH_MS)
    if (came !== "in") {
      await documents.forget(id)
      throw came ? new ClientError("denied", NOT_LET_IN) : notReached()
    }
    await settle()
    telling.anew(id, documents.restart(id, joined))
    await settle()
  }

  /** Waits until a change of the members counts. */
  async #push(id: string): Promise<void> {
    const { session, term, settle } = this.#parts
    const change = session.pendingMembers(id)
    if (change === undefined) return
    await settle()
    const isThere = await term.until(() => (session.pendingMembers(id) === undefined ? true : undefined), REACH_MS)
    if (!isThere) throw notReached()
    if (!session.areNewestMembers(id, change))
      throw new ClientError("unavailable", "somebody else changed the members; try again")
  }
}

function notReached(): ClientError {
  return new ClientError("unavailable", "the relay cannot be reached")
}
