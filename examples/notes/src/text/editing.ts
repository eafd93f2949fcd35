/** A text with what is selected in it. */
export interface Selected {
  readonly text: string
  readonly start: number
  readonly end: number
}

/** What to do to a text: replace a part of it, and select another. */
export interface Edit {
  readonly from: number
  readonly to: number
  readonly insert: string
  readonly start: number
  readonly end: number
}

/** How a text reads after an edit. */
export function applied({ text }: Selected, edit: Edit): Selected {
  const after = text.slice(0, edit.from) + edit.insert + text.slice(edit.to)
  return { text: after, start: edit.start, end: edit.end }
}

const ITEM = /^((?:\s|>)*)(?:([-*+])|(\d{1,9})([.)]))(\s+)(\[[ xX]\]\s+)?/

/** Enter in a list or a quote: the next item, or the end of the list where the item is empty. */
export function newline({ text, start, end }: Selected): Edit | undefined {
  const lineStart = text.lastIndexOf("\n", start - 1) + 1
  const before = text.slice(lineStart, start)
  const item = ITEM.exec(before)
  const marker = item?.[0] ?? /^(?:\s*>)+\s?/.exec(before)?.[0]
  if (marker === undefined || start - lineStart < marker.length) return undefined
  const rest = text.slice(start, lineEnd(text, start))
  if (before.length === marker.length && rest.trim() === "" && start === end) {
    return replace(lineStart, start, outdented(before))
  }
  const insert = `\n${item ? nextMarker(item) : marker}`
  return replace(start, end, insert)
}

function nextMarker([, indent = "", bullet, number, dot, space, task]: RegExpExecArray): string {
  const mark = bullet ?? `${Number(number) + 1}${dot}`
  return `${indent}${mark}${space}${task ? "[ ] " : ""}`
}

/** An empty item that is indented goes out by one step; one that is not is no item any more. */
function outdented(line: string): string {
  return /^ {2,}\S/.test(line) ? line.slice(2) : ""
}

/** Puts marks around what is selected, or around the word; or takes them away. */
export function surround(selected: Selected, mark: string): Edit {
  const { text } = selected
  const { start, end } = selected.start === selected.end ? wordAt(selected) : trimmed(selected)
  const inner = text.slice(start, end)
  const size = mark.length
  const isOutside = text.slice(start - size, start) === mark && text.slice(end, end + size) === mark
  if (isOutside && !isPartOfLonger(text, start - size, end + size, mark)) {
    return { from: start - size, to: end + size, insert: inner, start: start - size, end: end - size }
  }
  if (inner.length >= 2 * size && inner.startsWith(mark) && inner.endsWith(mark)) {
    return { from: start, to: end, insert: inner.slice(size, -size), start, end: end - 2 * size }
  }
  return { from: start, to: end, insert: mark + inner + mark, start: start + size, end: end + size }
}

/** One star of two is not what makes words italic. */
function isPartOfLonger(text: string, from: number, to: number, mark: string): boolean {
  return (
    mark.length === 1 && (text[from - 1] === mark || text[to] === mark) && !(text[from - 2] === mark && text[to + 1] === mark)
  )
}

/** Makes a link of what is selected; the caret is where the address goes, or the words. */
export function link(selected: Selected): Edit {
  const { start, end } = selected.start === selected.end ? wordAt(selected) : trimmed(selected)
  const inner = selected.text.slice(start, end)
  const isUrl = /^https?:\/\/\S+$/.test(inner)
  const insert = isUrl ? `[](${inner})` : `[${inner}]()`
  const caret = isUrl || inner === "" ? start + 1 : start + inner.length + 3
  return { from: start, to: end, insert, start: caret, end: caret }
}

/** What stands before lines. */
export type Prefix = "- " | "1. " | "- [ ] " | "> " | "# " | "## " | "### "

/** Makes the selected lines items, quotes or headings; or plain lines again. */
export function prefix(selected: Selected, wanted: Prefix): Edit {
  const isHeading = wanted.startsWith("#")
  return eachLine(selected, lines => {
    const filled = lines.filter(line => line.trim() !== "")
    const all = filled.length > 0 && filled.every(line => hasPrefix(line, wanted))
    let number = 0
    return lines.map(line => {
      if (line.trim() === "" && lines.length > 1) return line
      const { indent, rest } = bare(line, wanted)
      if (all) return indent + rest
      number++
      return (isHeading ? "" : indent) + (wanted === "1. " ? `${number}. ` : wanted) + rest
    })
  })
}

function hasPrefix(line: string, wanted: Prefix): boolean {
  const rest = line.trimStart()
  if (wanted === "1. ") return /^\d{1,9}[.)]\s/.test(rest)
  if (wanted === "- [ ] ") return /^[-*+]\s+\[[ xX]\]\s/.test(rest)
  if (wanted === "- ") return /^[-*+]\s/.test(rest) && !/^[-*+]\s+\[[ xX]\]\s/.test(rest)
  return rest.startsWith(wanted)
}

/** A line without what its place is taken of. */
function bare(line: string, wanted: Prefix): { indent: string; rest: string } {
  const [, indent = "", rest = ""] = /^(\s*)(.*)$/.exec(line) ?? []
  if (wanted === "> ") return { indent, rest: rest.replace(/^>\s?/, "") }
  return { indent, rest: rest.replace(/^(?:#{1,6}\s+|(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?)/, "") }
}

/** Tab in a list: one step in, or out. Elsewhere Tab leaves the text, as everywhere. */
export function indent(selected: Selected, by: 1 | -1): Edit | undefined {
  const { text, start, end } = selected
  const lines = text.slice(lineStartOf(text, start), lineEnd(text, end)).split("\n")
  if (!lines.some(line => ITEM.test(line))) return undefined
  if (by < 0 && !lines.some(line => line.startsWith(" "))) return undefined
  return eachLine(selected, lines => lines.map(line => (by > 0 ? `  ${line}` : line.replace(/^ {1,2}/, ""))))
}

/** Moves the selected lines up or down. */
export function moveLines({ text, start, end }: Selected, by: 1 | -1): Edit | undefined {
  const from = lineStartOf(text, start)
  const to = lineEnd(text, end)
  const block = text.slice(from, to)
  if (by < 0) {
    if (from === 0) return undefined
    const above = lineStartOf(text, from - 1)
    const insert = `${block}\n${text.slice(above, from - 1)}`
    return { from: above, to, insert, start: start - (from - above), end: end - (from - above) }
  }
  if (to >= text.length) return undefined
  const below = lineEnd(text, to + 1)
  const moved = below - to
  return { from, to: below, insert: `${text.slice(to + 1, below)}\n${block}`, start: start + moved, end: end + moved }
}

/** Ticks the tasks of the selected lines, or makes the lines tasks. */
export function tick(selected: Selected): Edit {
  const task = /^((?:\s|>)*[-*+]\s+\[)([ xX])(\])/
  return eachLine(selected, lines => {
    const tasks = lines.filter(line => task.test(line))
    if (tasks.length === 0) return lines.map(line => line.replace(/^(\s*)(?:[-*+]\s+)?/, "$1- [ ] "))
    const mark = tasks.every(line => task.exec(line)?.[2] !== " ") ? " " : "x"
    return lines.map(line => line.replace(task, `$1${mark}$3`))
  })
}

/** Changes the lines that are selected, also in part. */
function eachLine({ text, start, end }: Selected, change: (lines: string[]) => string[]): Edit {
  const from = lineStartOf(text, start)
  const to = lineEnd(text, end)
  const before = text.slice(from, to)
  const insert = change(before.split("\n")).join("\n")
  const grown = insert.length - before.length
  if (start !== end) return { from, to, insert, start: from, end: from + insert.length }
  const caret = Math.max(from, start + grown)
  return { from, to, insert, start: caret, end: caret }
}

function replace(from: number, to: number, insert: string): Edit {
  const caret = from + insert.length
  return { from, to, insert, start: caret, end: caret }
}

const lineStartOf = (text: string, at: number) => text.lastIndexOf("\n", at - 1) + 1

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at)
  return end < 0 ? text.length : end
}

function wordAt({ text, start }: Selected): { start: number; end: number } {
  const before = /[\p{L}\p{N}_'-]*$/u.exec(text.slice(Math.max(0, start - 100), start))?.[0].length ?? 0
  const after = /^[\p{L}\p{N}_'-]*/u.exec(text.slice(start, start + 100))?.[0].length ?? 0
  // Between words there is nothing to mark.
  return before > 0 && after > 0 ? { start: start - before, end: start + after } : { start, end: start }
}

function trimmed({ text, start, end }: Selected): { start: number; end: number } {
  const inner = text.slice(start, end)
  const left = inner.length - inner.trimStart().length
  return inner.trim() === "" ? { start, end } : { start: start + left, end: start + left + inner.trim().length }
}
