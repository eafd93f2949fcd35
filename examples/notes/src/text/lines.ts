/** A line of two texts beside each other. */
export interface Compared {
  readonly kind: "same" | "added" | "removed"
  readonly text: string
}

/** Texts that differ in more lines than this are shown one below the other. */
const LINES_MAX = 1500

/** What became of the lines of a text. */
export function compare(before: string, after: string): Compared[] {
  const [old, now] = [before.split("\n"), after.split("\n")]
  let head = 0
  while (head < old.length && head < now.length && old[head] === now[head]) head++
  let tail = 0
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++
  const same = (lines: string[]) => lines.map(text => ({ kind: "same", text }) as const)
  const middle = between(old.slice(head, old.length - tail), now.slice(head, now.length - tail))
  return [...same(old.slice(0, head)), ...middle, ...same(tail === 0 ? [] : old.slice(-tail))]
}

function between(old: readonly string[], now: readonly string[]): Compared[] {
  const removed = (text: string) => ({ kind: "removed", text }) as const
  const added = (text: string) => ({ kind: "added", text }) as const
  if (old.length + now.length > LINES_MAX) return [...old.map(removed), ...now.map(added)]
  const common = commonLengths(old, now)
  const lines: Compared[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ kind: "same", text: old[i] as string })
      i++
      j++
    } else if (j >= now.length || (i < old.length && lengthAt(common, i + 1, j) >= lengthAt(common, i, j + 1))) {
      lines.push(removed(old[i++] as string))
    } else lines.push(added(now[j++] as string))
  }
  return lines
}

/** How many lines two ends have in common, from each pair of lines on. */
function commonLengths(old: readonly string[], now: readonly string[]): Uint16Array[] {
  const rows = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1))
  for (let i = old.length - 1; i >= 0; i--) {
    const [row, below] = [rows[i] as Uint16Array, rows[i + 1] as Uint16Array]
    for (let j = now.length - 1; j >= 0; j--) {
      row[j] = old[i] === now[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0)
    }
  }
  return rows
}

const lengthAt = (rows: readonly Uint16Array[], i: number, j: number) => rows[i]?.[j] ?? 0
