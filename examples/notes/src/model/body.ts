import type { TextField } from "@selvedge/client"
import { readText, readUpdates, textOf } from "@selvedge/client/text"
import * as Y from "yjs"
import { changeBetween } from "../text/change.js"

/** The root of a text's `Y.Doc`. */
const ROOT = "text"

/** An update of Yjs that is a whole text. */
export const textUpdate = textOf

/** The text that updates make up; one that cannot be read takes nothing from the others. */
export const textOfUpdates = readUpdates

/** Reads a text once. */
export const readBody = readText

/**
 * A whole text by a writer that follows from it: two devices that begin a note with it, each for itself, write the same characters, and the
 * note has them once.
 */
export function firstText(text: string): Uint8Array {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0
  const ydoc = new Y.Doc()
  ydoc.clientID = hash || 1
  ydoc.getText(ROOT).insert(0, text)
  return Y.encodeStateAsUpdate(ydoc)
}

/** Has a text read otherwise. Only what differs in each line is written, so that others may write beside it. */
export function rewriteBody(field: TextField, rewrite: (text: string) => string): void {
  const ydoc = docOf(field.updates())
  const text = ydoc.getText(ROOT)
  const before = text.toString()
  const after = rewrite(before)
  if (after === before) return
  const known = Y.encodeStateVector(ydoc)
  ydoc.transact(() => {
    for (const { at, removed, insert } of editsBetween(before, after)) {
      if (removed > 0) text.delete(at, removed)
      if (insert) text.insert(at, insert)
    }
  })
  field.push(Y.encodeStateAsUpdate(ydoc, known))
}

/** What differs, the last first. */
function editsBetween(before: string, after: string) {
  const [old, now] = [before.split("\n"), after.split("\n")]
  const whole = changeBetween(before, after, after.length)
  if (old.length !== now.length) return whole ? [whole] : []
  let at = 0
  const edits = old.flatMap((line, number) => {
    const start = at
    at += line.length + 1
    const next = now[number] as string
    const change = changeBetween(line, next, next.length)
    return change ? [{ ...change, at: start + change.at }] : []
  })
  return edits.reverse()
}

function docOf(updates: readonly Uint8Array[]): Y.Doc {
  const ydoc = new Y.Doc()
  for (const update of updates) {
    try {
      Y.applyUpdate(ydoc, update)
    } catch {
      // It is another's; what is whole is shown.
    }
  }
  return ydoc
}
