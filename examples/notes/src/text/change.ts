/** A part of a text that was replaced. */
export interface Change {
  readonly at: number
  readonly removed: number
  readonly insert: string
}

/**
 * What was typed between two texts: one part that differs. Where it could be in several places, as in `aa` and `aaa`, it ends at
 * the caret.
 */
export function changeBetween(before: string, after: string, caret: number): Change | undefined {
  if (before === after) return undefined
  const endMax = Math.min(before.length, after.length)
  const tailMax = Math.max(0, Math.min(endMax, after.length - caret))
  let tail = 0
  while (tail < tailMax && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  const headMax = endMax - tail
  let head = 0
  while (head < headMax && before[head] === after[head]) head++
  const rest = endMax - head
  while (tail < rest && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  return whole(before, after, head, tail)
}

/** No half of a character that takes two units is ever replaced by itself. */
function whole(before: string, after: string, head: number, tail: number): Change {
  if (isHigh(before.charCodeAt(head - 1)) && head > 0) head--
  if (tail > 0 && isLow(before.charCodeAt(before.length - tail))) tail--
  return { at: head, removed: before.length - head - tail, insert: after.slice(head, after.length - tail) }
}

/** A vault takes so much text at once; what is pasted may be more. */
const PIECE_CHARS = 128 << 10

/** A text in pieces that a vault takes; no character that takes two units is cut. */
export function piecesOf(text: string): string[] {
  const pieces: string[] = []
  for (let at = 0; at < text.length;) {
    const end = at + PIECE_CHARS
    const next = isLow(text.charCodeAt(end)) ? end + 1 : end
    pieces.push(text.slice(at, next))
    at = next
  }
  return pieces
}

const isHigh = (unit: number) => unit >= 0xd800 && unit < 0xdc00
const isLow = (unit: number) => unit >= 0xdc00 && unit < 0xe000

/** One step of a delta, as Yjs tells changes. */
export interface Step {
  readonly retain?: number | undefined
  readonly insert?: unknown
  readonly delete?: number | undefined
}

/** The changes of a delta, one after another, each on the text that the ones before left. */
export function changesOf(delta: readonly Step[]): Change[] {
  const changes: Change[] = []
  let at = 0
  for (const step of delta) {
    if (step.retain !== undefined) at += step.retain
    else if (step.delete !== undefined) changes.push({ at, removed: step.delete, insert: "" })
    else if (typeof step.insert === "string") {
      changes.push({ at, removed: 0, insert: step.insert })
      at += step.insert.length
    }
  }
  return changes
}

/** Where a position is after a change that somebody else made. */
export function moved(position: number, { at, removed, insert }: Change): number {
  if (position <= at) return position
  return Math.max(at, position - removed) + insert.length
}
