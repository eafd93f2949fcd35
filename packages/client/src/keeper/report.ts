import type { Connection } from "../connection.js"
import type { ClientError } from "../error.js"
import type { Session } from "../session.js"
import { requestPersistence, space } from "../space.js"
import { failure, type Failure } from "../tabs/message.js"
import { isSame } from "../values.js"
import type { Standing, Told } from "../words.js"
import type { RelayClock } from "./clock.js"
import { isDoneWith, type Open, type Opens } from "./open.js"
import type { Term } from "./term.js"

/** A clock that is so much wrong is not worth a word. */
const CLOCK_MS = 5_000
/** How often it is asked what is left of the disk, at most. */
const SPACE_MS = 10_000

/** What a report is made of. */
interface ReportParts {
  readonly found: Standing["found"]
  readonly isVolatile: boolean
  readonly session: Session
  readonly opens: Opens
  readonly clock: RelayClock
  readonly term: Term
  readonly connection: Connection | undefined
  tell(told: Told): void
}

/** How it stands, told to all tabs when it is otherwise. */
export class Report {
  readonly #parts: ReportParts
  #standing: Standing
  #trouble: Failure | undefined
  #spaceAt = 0

  constructor(parts: ReportParts) {
    this.#parts = parts
    const nothing = { behind: 0, pending: 0, trouble: undefined, storage: undefined, clockAheadMs: undefined }
    this.#standing = { connection: parts.connection ? "connecting" : "none", found: parts.found, ...nothing }
  }

  get standing(): Standing {
    return this.#standing
  }

  /** Something is wrong. It is told when it is looked next. */
  blame(why: ClientError): void {
    this.#trouble = failure(why)
  }

  /** Nothing is wrong any more. */
  clear(): void {
    this.#trouble = undefined
  }

  /** How many operations the relay does not have, of these documents. */
  pending(of: (open: Open) => boolean = () => true): number {
    const { opens, session } = this.#parts
    return [...opens].reduce((sum, [id, open]) => sum + (of(open) ? session.unacknowledged(id) : 0), 0)
  }

  /** Looks how it stands, and tells it if it is otherwise than before. */
  look(): void {
    const documents = [...this.#parts.opens.values()]
    const behind = documents.reduce((sum, { lag }) => sum + lag, 0)
    const standing: Standing = {
      ...this.#standing,
      connection: this.#connectionOf(documents, behind),
      behind,
      pending: this.pending(),
      trouble: this.#trouble,
      clockAheadMs: this.#clockAheadMs(),
    }
    if (!isSame(Object.values(standing), Object.values(this.#standing))) this.#tell(standing)
  }

  /** Says what is left of the disk, and asks the browser to keep what is there. */
  async measure(): Promise<void> {
    if (this.#parts.isVolatile || Date.now() - this.#spaceAt < SPACE_MS) return
    if (this.#spaceAt === 0) await requestPersistence().catch(() => false)
    this.#spaceAt = Date.now()
    const storage = await space().catch(() => undefined)
    if (!this.#parts.term.isOver) this.#tell({ ...this.#standing, storage })
  }

  /** As it was said, as long as that is about so: it is told to all tabs. */
  #clockAheadMs(): number | undefined {
    const { clockAheadMs: said } = this.#standing
    const { aheadMs, isHeard } = this.#parts.clock
    if (!isHeard) return said
    return said !== undefined && Math.abs(aheadMs - said) < CLOCK_MS ? said : aheadMs
  }

  #connectionOf(documents: readonly Open[], behind: number): Standing["connection"] {
    const { connection } = this.#parts
    if (!connection) return "none"
    if (documents.length > 0 && documents.every(({ isDenied }) => isDenied)) return "denied"
    if (!connection.isOpen) return connection.isOpening ? "connecting" : "offline"
    if (documents.every(isDoneWith)) return behind > 0 ? "behind" : "live"
    return behind > 0 ? "behind" : "connecting"
  }

  #tell(standing: Standing): void {
    this.#standing = standing
    this.#parts.tell({ type: "standing", standing })
  }
}
