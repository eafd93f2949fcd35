// What of a tab is not stored yet when it is closed: a page that goes has no time for a database, but `localStorage` is written at once. Who leads next
// stores it, once, by the numbers of the posts. What other tabs wrote is with the one that leads, too; but that may be stuck, and go as well.

import type { Post } from "./tabs.js"
import { fromHex, toHex } from "./values.js"

/** Posts that a tab left behind, in their order. */
export interface LastWords {
  readonly tab: string
  readonly posts: readonly Post[]
}

const key = (name: string, tab: string) => `selvedge:${name}:left:${tab}`

/** Leaves what a tab has not stored; nothing to take back what it left. Returns whether there was room for it. */
export function leaveWords(name: string, { tab, posts }: LastWords): boolean {
  try {
    if (posts.length > 0) shelf()?.setItem(key(name, tab), JSON.stringify(posts, write))
    else shelf()?.removeItem(key(name, tab))
    return shelf() !== undefined
  } catch {
    return false
  }
}

/** Whether something is left of a tab. */
export function hasWords(name: string, tab: string): boolean {
  return shelf()?.getItem(key(name, tab)) != null
}

/** What tabs have left. What cannot be read is nothing. */
export function wordsLeft(name: string): LastWords[] {
  const found = Object.keys(shelf() ?? {}).filter(found => found.startsWith(key(name, "")))
  return found.map(found => ({ tab: found.slice(key(name, "").length), posts: postsOf(shelf()?.getItem(found)) }))
}

function postsOf(text: string | null | undefined): readonly Post[] {
  try {
    const posts = JSON.parse(text ?? "[]", read) as unknown
    return Array.isArray(posts) ? (posts as Post[]).filter(({ seq }) => Number.isSafeInteger(seq)) : []
  } catch {
    return []
  }
}

/** Values of edits that JSON does not have. */
function write(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: toHex(value) }
  if (typeof value === "bigint") return { int: String(value) }
  return typeof value === "number" && !Number.isFinite(value) ? { float: String(value) } : value
}

function read(_key: string, value: unknown): unknown {
  const { bytes, int, float } = (value ?? {}) as Record<string, unknown>
  if (typeof bytes === "string") return fromHex(bytes)
  if (typeof int === "string") return BigInt(int)
  return typeof float === "string" ? Number(float) : value
}

/** None in workers and in Node; a browser where a site may store nothing throws at the mention. */
function shelf(): Storage | undefined {
  try {
    return "window" in globalThis ? (globalThis as { localStorage?: Storage }).localStorage : undefined
  } catch {
    return undefined
  }
}
