import { titleOfPath, isFileName } from "../notes/names.js"

/** What is in a note besides its words. */
export interface Scan {
  /** Titles that are linked, each once, as they are written. */
  readonly links: readonly string[]
  /** Tags without their hash, in lower case, each once. */
  readonly tags: readonly string[]
  readonly tasks: number
  readonly tasksDone: number
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const ITEM = /^(?:\s|>)*(?:[-*+]|\d{1,9}[.)])\s/
/** An item may be the first of one above it: `- - [ ] both`. One without words is none. */
const TASK = /^(?:\s|>|(?:[-*+]|\d{1,9}[.)])\s)*?(?:[-*+]|\d{1,9}[.)])\s+\[([ xX])\]\s+\S/
const INDENTED = /^(?: {4}|\t)/
const WIKI = /\[\[([^[\]\n]{1,300})\]\]/g
const LINK = /\]\(<?([^()<>\n]{1,300}?\.(?:md|markdown)(?:#[^()<>\n]{0,200})?)>?\)/gi
/** A tag is not a number: `#12` is an issue. */
const TAG = /(?<=^|[\s(,;])#(?=[\p{L}\p{N}_/-]*[\p{L}_])([\p{L}\p{N}_][\p{L}\p{N}_/-]{0,63})/gu

/** Looks through a note. Code is not looked at. */
export function scan(body: string): Scan {
  const links = new Set<string>()
  const tags = new Set<string>()
  let tasks = 0
  let tasksDone = 0
  let [isList, isComment] = [false, false]
  for (const line of proseLines(body)) {
    isComment ||= /^ {0,3}<!--/.test(line)
    // What is indented is code, but in a list.
    const mark = !isComment && (isList || !INDENTED.test(line)) ? TASK.exec(line)?.[1] : undefined
    if (mark) tasks++
    if (mark && mark !== " ") tasksDone++
    isList = /^\s*$/.test(line) || INDENTED.test(line) ? isList : ITEM.test(line) || (isList && line.startsWith(" "))
    isComment &&= !line.includes("-->")
    const prose = line.includes("`") ? withoutCode(line) : line
    if (prose.includes("[[")) for (const [, inner] of prose.matchAll(WIKI)) links.add(linkOf(inner as string).title)
    if (prose.includes("](")) for (const [, path] of prose.matchAll(LINK)) addFile(links, path as string)
    if (prose.includes("#")) for (const [, tag] of withoutLinks(prose).matchAll(TAG)) tags.add(tagOf(tag as string))
  }
  links.delete("")
  return { links: [...links], tags: [...tags], tasks, tasksDone }
}

/** What stands between two brackets: `Soup#Salt|the soup`. */
export interface WikiLink {
  readonly title: string
  readonly heading: string | undefined
  readonly label: string
}

export function linkOf(inner: string): WikiLink {
  const [target = "", ...alias] = inner.split("|")
  const [title = "", ...heading] = target.split("#")
  const label = alias.join("|").trim() || target.trim()
  return { title: title.trim(), heading: heading.join("#").trim() || undefined, label }
}

/** The one spelling of a tag. */
export function tagOf(tag: string): string {
  return tag.normalize("NFC").replace(/^#/, "").replace(/\/+$/, "").toLowerCase()
}

/** Has links to a title lead to another one. */
export function relink(body: string, from: (title: string) => boolean, to: string): string {
  return mapProse(body, line =>
    line.replace(WIKI, (whole, inner: string) => {
      const { title } = linkOf(inner)
      return title && from(title) ? `[[${inner.replace(/^\s*[^#|]*/, () => to)}]]` : whole
    }),
  )
}

/** The first words of a note, for a list. */
export function excerpt(body: string, lengthMax = 160): string {
  let text = ""
  for (const line of proseLines(body, 60)) {
    text += ` ${plain(line)}`
    if (text.length > lengthMax * 2) break
  }
  return text.replace(/\s+/g, " ").trim().slice(0, lengthMax)
}

/** A line without what Markdown puts around words. */
export function plain(line: string): string {
  return line
    .replace(/^(?:\s|>)*(?:#{1,6}\s+|(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?)?/, "")
    .replace(/!?\[\[([^[\]]+)\]\]/g, (_, inner: string) => linkOf(inner).label)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/[*_~`=]{1,3}(?=\S)|(?<=\S)[*_~`=]{1,3}/g, "")
    .replace(/^\s*(?:-{3,}|\|?[\s:|-]+\|)\s*$/, "")
}

function addFile(links: Set<string>, path: string): void {
  if (isFileName(path) && !path.includes("://")) links.add(titleOfPath(decode(path)))
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** A line with blanks for code: from each run of backticks to the next one that is as long. */
function withoutCode(line: string): string {
  const runs = [...line.matchAll(/`+/g)].map(({ 0: run, index }) => ({ from: index, to: index + run.length, size: run.length }))
  const next = new Map<number, number>()
  const closing = runs.map(() => -1)
  for (let at = runs.length - 1; at >= 0; at--) {
    const { size } = runs[at] as (typeof runs)[0]
    closing[at] = next.get(size) ?? -1
    next.set(size, at)
  }
  let prose = ""
  let from = 0
  for (let at = 0; at < runs.length; at++) {
    const end = runs[closing[at] as number]
    if (!end) continue
    const begin = (runs[at] as (typeof runs)[0]).from
    prose += line.slice(from, begin) + " ".repeat(end.to - begin)
    from = end.to
    at = closing[at] as number
  }
  return prose + line.slice(from)
}

const blank = (text: string) => " ".repeat(text.length)

/** `[a](b#c)` and `[[a#b]]` have no tags. */
const withoutLinks = (line: string) => line.replace(WIKI, blank).replace(/\]\([^)\n]*\)/g, blank)

/** The lines that are not code and not the head of the file. */
export function* proseLines(body: string, linesMax = Infinity): Generator<string> {
  const lines = new Lines(headLines(body))
  for (const line of splitLines(body, linesMax)) if (lines.isProse(line)) yield line
}

/** Lines one by one: of a long note, often only the first are wanted. */
function* splitLines(body: string, linesMax: number): Generator<string> {
  let from = 0
  for (let count = 0; count < linesMax; count++) {
    const end = body.indexOf("\n", from)
    yield end < 0 ? body.slice(from) : body.slice(from, end)
    if (end < 0) return
    from = end + 1
  }
}

function mapProse(body: string, map: (line: string) => string): string {
  const lines = new Lines(headLines(body))
  return body
    .split("\n")
    .map(line => (lines.isProse(line) ? map(line) : line))
    .join("\n")
}

/** How many lines the head of a file may have. */
const HEAD_LINES_MAX = 100

/** How many lines at the beginning are properties between two rules. */
export function headLines(body: string): number {
  if (!/^---[ \t]*\n/.test(body)) return 0
  let at = 0
  for (const line of splitLines(body, HEAD_LINES_MAX)) {
    at++
    if (at > 1 && line.trimEnd() === "---") return at
  }
  return 0
}

/** Follows the head and fences of code, line by line. */
export class Lines {
  #fence: string | undefined
  #at = 0

  constructor(readonly head = 0) {}

  isProse(line: string): boolean {
    if (this.#at++ < this.head) return false
    const fence = FENCE.exec(line)?.[1]
    if (this.#fence === undefined) {
      this.#fence = fence
      return fence === undefined
    }
    const isEnd = fence?.startsWith(this.#fence) && line.trim() === fence
    if (isEnd) this.#fence = undefined
    return false
  }
}
