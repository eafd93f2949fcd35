import type { Session } from "../session.js"
import type { Told } from "../words.js"
import type { Peer } from "../workspace.js"
import type { Open } from "./open.js"

/** What presence is wired to. */
interface PresenceParts {
  readonly session: Session
  tell(told: Told): void
  turn(): void
}

/** What people who have a document open show each other: those here, in tabs, and those elsewhere. */
export class PresenceDesk {
  readonly #parts: PresenceParts

  constructor(parts: PresenceParts) {
    this.#parts = parts
  }

  /** A tab shows something, as JSON, or nothing any more. */
  show(tab: string, id: string, open: Open, state: string | undefined): void {
    if (state === undefined) open.tabs.delete(tab)
    else open.tabs.set(tab, JSON.parse(state))
    this.#showTabs(id, open)
  }

  /** A tab is gone. */
  gone(tab: string, id: string, open: Open): void {
    if (open.tabs.delete(tab)) this.#showTabs(id, open)
  }

  /** A session elsewhere shows something, or nothing any more. */
  meet(id: string, open: Open, session: string, state: Uint8Array | undefined): void {
    if (state) open.others.set(session, peersIn(state))
    else open.others.delete(session)
    this.#parts.tell({ type: "peers", id, peers: peersOf(open) })
  }

  #showTabs(id: string, open: Open): void {
    const { session, tell, turn } = this.#parts
    const shown = open.tabs.size > 0 ? new TextEncoder().encode(JSON.stringify(Object.fromEntries(open.tabs))) : new Uint8Array()
    session.show(id, shown, Date.now())
    tell({ type: "peers", id, peers: peersOf(open) })
    turn()
  }
}

export function peersOf(open: Open): readonly Peer[] {
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
