import type { Origin } from "../rows.js"
import type { Session } from "../session.js"
import type { RawNews, Told } from "../words.js"
import type { Open, Opens } from "./open.js"
import type { Term } from "./term.js"

/** Entities that are told one by one; of more, everything is read again. */
const TOLD_MAX = 1_000

/** Whose post something came of, and which. */
interface Source {
  readonly tab: string | undefined
  readonly taken: number
  readonly origin: Origin
}

/** What telling is wired to. */
interface TellingParts {
  readonly session: Session
  readonly opens: Opens
  readonly term: Term
  tell(told: Told): void
}

/** What all tabs are told of documents. Each thing has a number, so that a tab sees that it missed one. */
export class Telling {
  readonly #parts: TellingParts

  constructor(parts: TellingParts) {
    this.#parts = parts
  }

  /** These entities may be otherwise. */
  publish(id: string, ids: readonly string[], source: Source): void {
    const { session, opens, term, tell } = this.#parts
    const open = opens.get(id)
    if (!open) return
    open.version++
    if (ids.length > TOLD_MAX) return tell({ type: "anew", id })
    const news: RawNews = ids.map(entity => [entity, session.object(id, entity), session.texts(id, entity)])
    tell({ type: "news", id, term: term.id, version: open.version, news, ...source })
  }

  /** Anything may be otherwise. */
  anew(id: string, open: Open): void {
    open.version++
    this.#parts.tell({ type: "anew", id })
  }

  /** It is not here any more. */
  forgotten(id: string): void {
    this.#parts.tell({ type: "forgotten", id })
  }
}
