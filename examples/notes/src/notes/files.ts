import { tagOf } from "../text/scan.js"
import { fileName, titleOfPath, UNTITLED } from "./names.js"

/** A note as it comes from a file, or goes into one. */
export interface NoteFile {
  readonly title: string
  /** The folders it is in, the outermost first. */
  readonly folder: readonly string[]
  readonly body: string
  readonly tags: readonly string[]
  readonly created: number | undefined
  readonly updated: number | undefined
  readonly isPinned: boolean
}

/** A file among many that somebody gives. */
export interface GivenFile {
  readonly path: string
  readonly size: number
}

/** A longer text is no note: it could not travel as one change. */
export const FILE_BYTES_MAX = 500_000
/** As many notes are taken in at once. */
export const FILES_MAX = 50_000

/** What becomes of a file that somebody gives. */
export type Fate = "note" | "hidden" | "other" | "large"

/** Whether a file is one of notes. Obsidian keeps its own things in a hidden folder. */
export function fateOf({ path, size }: GivenFile): Fate {
  if (path.split("/").some(part => part.startsWith(".") || part === "__MACOSX")) return "hidden"
  if (!/\.(md|markdown|txt)$/i.test(path)) return "other"
  return size > FILE_BYTES_MAX ? "large" : "note"
}

/** Reads a file of Markdown, with the properties at its head that we know; others stay where they are. */
export function readFile(path: string, text: string, modified?: number): NoteFile {
  const parts = path.split("/").filter(part => part !== "" && part !== "." && part !== "..")
  const { properties, body } = readHead(text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n"))
  const title = properties.title ?? (titleOfPath(parts.at(-1) ?? "").replace(/\.txt$/i, "") || UNTITLED)
  const updated = properties.updated ?? modified
  return {
    title,
    folder: parts.slice(0, -1),
    body,
    tags: properties.tags,
    created: properties.created ?? updated,
    updated,
    isPinned: properties.isPinned,
  }
}

/** What all paths have in common at their beginning: the folder that somebody chose is not one of the notes. */
export function commonFolder(paths: readonly string[]): string {
  const first = paths[0]?.split("/").slice(0, -1) ?? []
  const isCommon = (length: number) => paths.every(path => path.startsWith(`${first.slice(0, length).join("/")}/`))
  return first.length > 0 && isCommon(1) ? `${first[0]}/` : ""
}

interface Properties {
  title: string | undefined
  tags: string[]
  created: number | undefined
  updated: number | undefined
  isPinned: boolean
}

/** The properties between two rules at the beginning, as far as we know them. */
function readHead(text: string): { properties: Properties; body: string } {
  const properties: Properties = { title: undefined, tags: [], created: undefined, updated: undefined, isPinned: false }
  const head = /^---[ \t]*\n((?:[^\n]*\n){0,100}?)---[ \t]*(?:\n|$)/.exec(text)
  if (!head) return { properties, body: text }
  const unknown = entriesOf(head[1] as string).filter(entry => !take(properties, entry))
  const rest = text.slice(head[0].length)
  if (unknown.length === 0) return { properties, body: rest.replace(/^\n/, "") }
  return { properties, body: `---\n${unknown.map(({ lines }) => lines.join("\n")).join("\n")}\n---\n${rest}` }
}

interface Entry {
  readonly key: string
  readonly value: string
  readonly items: readonly string[]
  readonly lines: readonly string[]
}

/** YAML as far as people write it above notes: keys with a value, or with a list below or beside them. */
function entriesOf(head: string): Entry[] {
  const entries: { key: string; value: string; items: string[]; lines: string[] }[] = []
  for (const line of head.split("\n").slice(0, -1)) {
    const [, key, value = ""] = /^([^\s:#-][^:]*):(?:\s+(.*)|\s*)$/.exec(line) ?? []
    const last = entries.at(-1)
    if (key !== undefined) entries.push({ key: key.toLowerCase(), value: unquote(value), items: listOf(value), lines: [line] })
    else if (last) {
      const item = /^\s*-\s+(.*)$/.exec(line)?.[1]
      if (item) last.items.push(unquote(item))
      last.lines.push(line)
    } else entries.push({ key: "", value: "", items: [], lines: [line] })
  }
  return entries
}

function listOf(value: string): string[] {
  const inner = /^\[(.*)\]\s*$/.exec(value)?.[1]
  return inner === undefined ? [] : inner.split(",").map(unquote).filter(Boolean)
}

function unquote(value: string): string {
  const text = value.trim()
  try {
    if (/^".*"$/s.test(text)) return String(JSON.parse(text))
  } catch {
    return text.slice(1, -1)
  }
  return /^'.*'$/s.test(text) ? text.slice(1, -1).replaceAll("''", "'") : text
}

/** Takes a property that we know; returns whether it is one. */
function take(properties: Properties, { key, value, items, lines }: Entry): boolean {
  switch (key) {
    case "title":
      if (value === "" || lines.length > 1) return false
      properties.title = value
      return true
    case "tag":
    case "tags": {
      const tags = items.length > 0 ? items : value.split(/[\s,]+/)
      properties.tags.push(...tags.map(tagOf).filter(Boolean))
      return true
    }
    case "created":
    case "date":
      properties.created ??= timeOf(value)
      return timeOf(value) !== undefined
    case "updated":
    case "modified":
      properties.updated ??= timeOf(value)
      return timeOf(value) !== undefined
    case "pinned":
      properties.isPinned = value === "true"
      return value === "true" || value === "false"
    default:
      return false
  }
}

function timeOf(value: string): number | undefined {
  const time = /^\d{4}-\d{2}-\d{2}/.test(value) ? Date.parse(value) : NaN
  return Number.isFinite(time) ? time : undefined
}

/** A file to be written. */
export interface WrittenFile {
  readonly path: string
  readonly text: string
  readonly modified: number
}

/** Makes files of notes, each with a path of its own on every file system. */
export function writeFiles(notes: readonly NoteFile[]): WrittenFile[] {
  const taken = new Set<string>()
  return notes.map(note => {
    const folder = note.folder.map(fileName)
    const name = fileName(note.title || UNTITLED)
    const path = unique([...folder, name].join("/"), taken)
    const isNamed = path.split("/").at(-1) === note.title
    return { path: `${path}.md`, text: writeFile(note, isNamed), modified: note.updated ?? Date.now() }
  })
}

/** Writes a note; its head has what its name and its text do not say. */
function writeFile({ title, body, tags, created, updated, isPinned }: NoteFile, isNamed: boolean): string {
  const time = (key: string, value: number | undefined) => (value === undefined ? [] : [`${key}: ${isoOf(value)}`])
  const head = [
    ...(isNamed || !title ? [] : [`title: ${JSON.stringify(title)}`]),
    ...(tags.length > 0 ? ["tags:", ...tags.map(tag => `  - ${tag}`)] : []),
    ...time("created", created),
    ...time("updated", updated),
    ...(isPinned ? ["pinned: true"] : []),
  ]
  const own = /^---[ \t]*\n((?:[^\n]*\n){0,100}?)---[ \t]*(?:\n|$)/.exec(body)
  if (own) return `---\n${head.join("\n")}\n${own[1]}---\n${body.slice(own[0].length)}`
  return head.length === 0 ? body : `---\n${head.join("\n")}\n---\n\n${body}`
}

function isoOf(time: number): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString()
}

/** A path that nobody has yet: most file systems on desks do not tell `A` from `a`. */
function unique(path: string, taken: Set<string>): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? path : `${path} ${number}`
    const key = candidate.normalize("NFC").toLowerCase()
    if (taken.has(key)) continue
    taken.add(key)
    return candidate
  }
}
