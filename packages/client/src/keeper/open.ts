import type { Change } from "../store.js"
import type { Peer } from "../workspace.js"

/** Things that happened to a document, for the inspector. */
const EVENTS_MAX = 50

/** A document that is loaded. */
export interface Open {
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

/** Documents that are loaded, by their ids. */
export type Opens = ReadonlyMap<string, Open>

/** One of which nothing happened yet. */
export function newOpen(version: number, tabs: Map<string, unknown>): Open {
  const open = { version, isCaughtUp: false, isDenied: false, wantsToken: false, tokenAt: -Infinity, refusals: 0, lag: 0 }
  return { ...open, events: [], stored: { bytes: 0, pieces: 0 }, others: new Map(), tabs }
}

/** Whether nothing more is to be read: all was, or nothing may be. */
export function isDoneWith({ isCaughtUp, isDenied }: Open): boolean {
  return isCaughtUp || isDenied
}

/** Writes down that something happened. */
export function note(open: Open | undefined, what: string): void {
  open?.events.unshift({ at: Date.now(), what })
  open?.events.splice(EVENTS_MAX)
}

/** Keeps count of what is stored. */
export function count(open: Open | undefined, changes: readonly Change[]): void {
  for (const change of open ? changes : []) {
    const { bytes, pieces } = open!.stored
    if ("begin" in change) open!.stored = { bytes: change.begin.length, pieces: 1 }
    else open!.stored = { bytes: bytes + change.append.length, pieces: pieces + 1 }
  }
}
