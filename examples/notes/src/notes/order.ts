import { UNTITLED } from "./names.js"

/** What of a note decides where it stands. */
export interface Ordered {
  readonly id: string
  readonly title: string
  readonly created: number
  readonly updated: number
  readonly isPinned: boolean
}

/** By what notes are ordered. */
export type Order = "updated" | "created" | "title"

const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" })

/** Compares names as people do: `Note 2` comes before `Note 10`. */
export const byName = (one: string, other: string) => names.compare(one, other)

/** Compares notes; pinned ones come first, and no two are equal: all devices show the same. */
export function compareNotes(order: Order): (one: Ordered, other: Ordered) => number {
  const by = {
    updated: (one: Ordered, other: Ordered) => other.updated - one.updated,
    created: (one: Ordered, other: Ordered) => other.created - one.created,
    title: (one: Ordered, other: Ordered) => byName(one.title || UNTITLED, other.title || UNTITLED),
  }[order]
  return (one, other) =>
    Number(other.isPinned) - Number(one.isPinned) || by(one, other) || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0)
}

/** A line of a list of notes. */
export type Row<T> = { readonly kind: "label"; readonly label: string } | { readonly kind: "note"; readonly note: T }

/** Puts notes that are in order under labels: pinned, today, yesterday, and so on. */
export function labelled<T extends Ordered>(notes: readonly T[], order: Order, now: number): Row<T>[] {
  const rows: Row<T>[] = []
  const periodOf = periods(now)
  let last = ""
  for (const note of notes) {
    const label = note.isPinned ? "Pinned" : order === "title" ? "" : periodOf(note[order])
    if (label !== last && label) rows.push({ kind: "label", label })
    last = label
    rows.push({ kind: "note", note })
  }
  return rows
}

const DAY = 86_400_000
const months = new Intl.DateTimeFormat(undefined, { month: "long" })

/** The period a moment is in, seen from now. A clock that was ahead makes no other day than today. */
export function periodOf(time: number, now: number): string {
  return periods(now)(time)
}

/** The same for many moments: a month's name is asked for once. */
function periods(now: number): (time: number) => string {
  const today = new Date(now)
  const midnight = new Date(today.getFullYear(), today.getMonth(), today.getDate()).getTime()
  const named = new Map<number, string>()
  const nameOf = (then: Date) => {
    const name = named.get(then.getMonth()) ?? months.format(then)
    named.set(then.getMonth(), name)
    return name
  }
  return time => {
    if (time >= midnight) return "Today"
    if (time >= midnight - DAY) return "Yesterday"
    if (time >= midnight - 7 * DAY) return "Previous 7 days"
    if (time >= midnight - 30 * DAY) return "Previous 30 days"
    const then = new Date(time)
    return then.getFullYear() === today.getFullYear() ? nameOf(then) : String(then.getFullYear())
  }
}

/** A folder as it is stored. */
export interface Folder {
  readonly id: string
  readonly name: string
  readonly parent: string | undefined
}

/** A folder among the others. */
export interface Branch extends Folder {
  readonly depth: number
  /** Names from the outermost on. */
  readonly path: readonly string[]
  readonly hasChildren: boolean
}

/** Folders deeper than this stand beside each other. */
const DEPTH_MAX = 32

/**
 * All folders, each behind the one it is in. Two people may have moved two folders into each other, or deleted one that the other
 * put something into: what cannot be reached from the top stands there.
 */
export function branches(folders: readonly Folder[]): Branch[] {
  const known = new Map(folders.map(folder => [folder.id, folder]))
  const children = new Map<string | undefined, Folder[]>()
  for (const folder of folders) {
    const parent = parentOf(folder, known)
    const siblings = children.get(parent)
    if (siblings) siblings.push(folder)
    else children.set(parent, [folder])
  }
  const placed: Branch[] = []
  const place = (parent: string | undefined, depth: number, above: readonly string[]) => {
    for (const folder of (children.get(parent) ?? []).toSorted((a, b) => byName(a.name, b.name) || (a.id < b.id ? -1 : 1))) {
      const path = [...above, folder.name]
      placed.push({ ...folder, depth, path, hasChildren: children.has(folder.id) })
      place(folder.id, Math.min(depth + 1, DEPTH_MAX), path)
    }
  }
  place(undefined, 0, [])
  return placed
}

/** The folder that one is in; undefined at the top, in a circle, or if it is in none that there is. */
function parentOf(folder: Folder, known: ReadonlyMap<string, Folder>): string | undefined {
  const { parent } = folder
  if (parent === undefined || !known.has(parent)) return undefined
  let above: string | undefined = parent
  for (let steps = 0; above !== undefined && steps <= known.size; steps++) {
    // Of a circle the folder with the least id stands at the top, for everybody.
    if (above === folder.id) return isLeastOfCircle(folder, known) ? undefined : parent
    above = known.get(above)?.parent
  }
  return parent
}

function isLeastOfCircle(folder: Folder, known: ReadonlyMap<string, Folder>): boolean {
  for (let at = folder.parent; at !== undefined && at !== folder.id; at = known.get(at)?.parent) {
    if (at < folder.id) return false
  }
  return true
}

/** A folder and all that are in it. */
export function within(id: string, all: readonly Branch[]): Set<string> {
  const start = all.findIndex(branch => branch.id === id)
  const first = all[start]
  const found = new Set([id])
  if (!first) return found
  for (const branch of all.slice(start + 1)) {
    if (branch.depth <= first.depth) break
    found.add(branch.id)
  }
  return found
}
