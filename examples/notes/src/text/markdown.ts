import { Marked, type MarkedToken, type Token, type Tokens, type TokenizerAndRendererExtension } from "marked"
import { headLines, linkOf, tagOf } from "./scan.js"
import { pictureOf, targetOf } from "./urls.js"

/** What a note looks like: elements that we know, with attributes that we wrote. There is no HTML on the way. */
export type View = string | Shape

/** An element. */
export interface Shape {
  readonly tag: Tag
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly View[]
}

/** The elements that notes are made of. */
export type Tag = (typeof TAGS)[number]
export const TAGS = [
  ...["a", "blockquote", "br", "button", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6"],
  ...["hr", "img", "input", "kbd", "li", "mark", "ol", "p", "pre", "span", "strong", "sub", "sup", "table", "tbody", "td"],
  ...["th", "thead", "tr", "u", "ul"],
] as const

/** What a reader knows of other notes. */
export interface Reading {
  /** Whether there is a note with this title. */
  isThere(title: string): boolean
}

/** A heading, for an outline. */
export interface Heading {
  readonly depth: number
  readonly text: string
  readonly id: string
}

/** A note, ready to be shown. */
export interface Page {
  readonly views: readonly View[]
  readonly headings: readonly Heading[]
  /** Tasks that can be ticked: whether each is. */
  readonly tasks: readonly boolean[]
}

/** Longer notes are shown as they are written. */
const CHARS_MAX = 400_000
/** Marks of one paragraph. */
const MARKS_MAX = 5_000
/** Deeper than this nobody reads; what is below is shown as it is written. */
const DEPTH_MAX = 40

interface WikiToken extends Tokens.Generic {
  inner: string
}

const wiki: TokenizerAndRendererExtension = {
  name: "wiki",
  level: "inline",
  start: source => source.indexOf("[["),
  tokenizer(source) {
    const found = /^!?\[\[([^[\]\n]{1,300})\]\]/.exec(source)
    return found ? { type: "wiki", raw: found[0], inner: found[1] } : undefined
  },
}

const tag: TokenizerAndRendererExtension = {
  name: "tag",
  level: "inline",
  start: source => source.search(/(?<=^|[\s(,;])#[\p{L}\p{N}_]/u),
  tokenizer(source) {
    const found = /^#(?=[\p{L}\p{N}_/-]*[\p{L}_])[\p{L}\p{N}_][\p{L}\p{N}_/-]{0,63}/u.exec(source)
    return found ? { type: "tag", raw: found[0], inner: found[0] } : undefined
  },
}

const mark: TokenizerAndRendererExtension = {
  name: "mark",
  level: "inline",
  start: source => source.indexOf("=="),
  tokenizer(source) {
    const found = /^==(?=\S)([^\n]*?\S)==/.exec(source)
    return found ? { type: "mark", raw: found[0], tokens: this.lexer.inlineTokens(found[1] as string) } : undefined
  },
}

const marked = new Marked({ gfm: true, breaks: true }, { extensions: [wiki, tag, mark] })

/** Reads a note. */
export function read(body: string, reading: Reading): Page {
  const reader = new Reader(reading)
  const head = headLines(body)
  const lines = body.split("\n")
  const rest = head === 0 ? body : lines.slice(head).join("\n")
  const views = head === 0 ? [] : properties(lines.slice(1, head - 1))
  if (rest.length > CHARS_MAX || isDense(rest)) return { views: [...views, asWritten(rest)], headings: [], tasks: [] }
  try {
    views.push(...reader.blocks(marked.lexer(rest), 0))
  } catch {
    // Nested so deeply that the parser gave up.
    return { views: [...views, asWritten(rest)], headings: [], tasks: [] }
  }
  return { views, headings: reader.headings, tasks: reader.tasks }
}

/**
 * Ticks the task with this number, or takes the tick away. What is a task only a reader can say, who does not say where it stands. So the note is
 * read once for each binary digit of how many boxes there are, though some may be none, with those ticked whose numbers have a one there.
 */
export function toggleTask(body: string, number: number): string {
  const isTicked = (body: string) => read(body, { isThere: () => true }).tasks[number]
  const was = isTicked(body)
  if (was === undefined) return body
  const count = body.match(BOX)?.length ?? 0
  let wanted = 0
  for (let bit = 1; bit < count; bit *= 2) if (isTicked(withBoxes(body, at => (at & bit) !== 0))) wanted += bit
  return withBoxes(body, at => (at === wanted ? !was : undefined))
}

const BOX = /\[[ xX](?=\][ \t]+\S)/g

/** Ticks boxes or takes their ticks away, or leaves them. */
function withBoxes(body: string, isTicked: (at: number) => boolean | undefined): string {
  let at = 0
  return body.replace(BOX, box => ({ true: "[x", false: "[ ", undefined: box })[`${isTicked(at++)}`])
}

/** Whether a paragraph has so many marks that nobody wrote it for a reader: to sort them out would take the browser seconds. */
function isDense(text: string): boolean {
  return text.split(/\n\s*\n/).some(part => part.length > MARKS_MAX && (part.match(/[*_[\]`=<!~]/g)?.length ?? 0) > MARKS_MAX)
}

/** The text of views: of a heading, for instance. */
export function textOf(views: readonly View[]): string {
  return views.map(view => (typeof view === "string" ? view : textOf(view.children))).join("")
}

class Reader {
  readonly headings: Heading[] = []
  readonly tasks: boolean[] = []
  readonly #ids = new Map<string, number>()
  /** How deep the headings are that the next one may be within. */
  readonly #above: number[] = []

  constructor(readonly reading: Reading) {}

  blocks(tokens: readonly Token[], depth: number): View[] {
    if (depth > DEPTH_MAX) return [tokens.map(token => token.raw).join("")]
    return tokens.flatMap(token => this.#block(token as MarkedToken, depth + 1))
  }

  #block(token: MarkedToken, depth: number): View[] {
    switch (token.type) {
      case "space":
      case "def":
        return []
      case "heading":
        return [this.#heading(token, depth)]
      case "paragraph":
        return [shape("p", this.inline(token.tokens, depth))]
      case "text":
        return token.tokens ? this.inline(token.tokens, depth) : [decode(token.text)]
      case "blockquote":
        return [this.#quote(token, depth)]
      case "list":
        return [this.#list(token, depth)]
      case "code":
        return [code(token)]
      case "hr":
        return [shape("hr", [])]
      case "table":
        return [this.#table(token, depth)]
      case "html":
        return /^\s*<!--[^]*-->\s*$/.test(token.text) ? [] : [shape("p", [token.text.trimEnd()], { class: "html" })]
      default:
        return this.inline([token], depth)
    }
  }

  #heading(token: Tokens.Heading, depth: number): View {
    const children = this.inline(token.tokens, depth)
    const text = textOf(children).trim()
    const id = this.#idOf(text)
    this.headings.push({ depth: token.depth, text, id })
    return shape(`h${this.#levelOf(token.depth)}` as Tag, children, { id })
  }

  /** The title of the note is the first level; people begin below it where they like, and no level is left out. */
  #levelOf(depth: number): number {
    while ((this.#above.at(-1) ?? 0) >= depth) this.#above.pop()
    this.#above.push(depth)
    return Math.min(this.#above.length + 1, 6)
  }

  #idOf(text: string): string {
    const slug = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
    const count = this.#ids.get(slug) ?? 0
    this.#ids.set(slug, count + 1)
    return `h-${slug}${count === 0 ? "" : `-${count}`}`
  }

  #quote(token: Tokens.Blockquote, depth: number): View {
    const callout = /^\s*\[!(\w{1,20})\][+-]?[ \t]*([^\n]*)\n?/.exec(token.text)
    const children = this.blocks(token.tokens, depth)
    if (!callout) return shape("blockquote", children)
    const kind = (callout[1] as string).toLowerCase()
    const title = callout[2] || kind.charAt(0).toUpperCase() + kind.slice(1)
    const [first, ...others] = children
    const rest = first && typeof first !== "string" ? [afterFirstLine(first), ...others] : others
    return shape("blockquote", [shape("p", [title], { class: "callout-title" }), ...rest], { class: `callout ${kind}` })
  }

  #list(token: Tokens.List, depth: number): View {
    const items = token.items.map(item => this.#item(item, depth))
    const start = token.ordered && token.start !== 1 && token.start !== "" ? { start: String(token.start) } : {}
    return shape(token.ordered ? "ol" : "ul", items, token.items.some(item => item.task) ? { ...start, class: "tasks" } : start)
  }

  #item(item: Tokens.ListItem, depth: number): View {
    if (!item.task) return shape("li", this.blocks(item.tokens, depth))
    const number = this.tasks.push(Boolean(item.checked)) - 1
    const rest = this.blocks(
      item.tokens.filter(token => token.type !== "checkbox"),
      depth,
    )
    const isWords = (view: View) => typeof view === "string" || !["ol", "pre", "ul"].includes(view.tag)
    const label = textOf(rest.filter(isWords)).split("\n")[0]?.trim() || "Task"
    const ticked = item.checked ? { checked: "" } : {}
    const box = shape("input", [], { type: "checkbox", "data-task": String(number), "aria-label": label, ...ticked })
    return shape("li", [box, shape("div", rest)], { class: item.checked ? "task done" : "task" })
  }

  #table(token: Tokens.Table, depth: number): View {
    const cell = (tag: Tag) => (cell: Tokens.TableCell) =>
      shape(tag, this.inline(cell.tokens, depth), cell.align ? { class: `align-${cell.align}` } : {})
    const head = shape("thead", [shape("tr", token.header.map(cell("th")))])
    const body = shape(
      "tbody",
      token.rows.map(row => shape("tr", row.map(cell("td")))),
    )
    return shape("div", [shape("table", [head, body])], { class: "table", tabindex: "0", role: "region", "aria-label": "Table" })
  }

  inline(tokens: readonly Token[], depth: number): View[] {
    if (depth > DEPTH_MAX) return [tokens.map(token => token.raw).join("")]
    return nest(tokens.map(token => ({ token, views: this.#inline(token as MarkedToken | WikiToken, depth + 1) })))
  }

  #inline(token: MarkedToken | WikiToken, depth: number): View[] {
    switch (token.type) {
      case "text":
      case "escape":
        return "tokens" in token && token.tokens ? this.inline(token.tokens, depth) : [decode(token.text)]
      case "strong":
      case "em":
      case "del":
        return [shape(token.type, this.inline(token.tokens ?? [], depth))]
      case "mark":
        return [shape("mark", this.inline(token.tokens ?? [], depth))]
      case "codespan":
        return [shape("code", [token.text])]
      case "br":
        return [shape("br", [])]
      case "link":
        return [link(token as Tokens.Link, this.inline(token.tokens ?? [], depth))]
      case "image":
        return [picture(token as Tokens.Image)]
      case "wiki":
        return [this.#wiki((token as WikiToken).inner)]
      case "tag":
        return [shape("a", [token.raw], { class: "tag", href: "#", "data-tag": tagOf(token.raw) })]
      default:
        return [token.raw]
    }
  }

  #wiki(inner: string): View {
    const { title, heading, label } = linkOf(inner)
    const isThere = title === "" || this.reading.isThere(title)
    const at = heading === undefined ? {} : { "data-heading": heading }
    const missing = isThere ? {} : { title: "Not written yet" }
    return shape("a", [label], { class: isThere ? "wiki" : "wiki missing", href: "#", "data-note": title, ...at, ...missing })
  }
}

/** Elements that people write as HTML, without attributes. */
const HTML = new Set<string>(["kbd", "mark", "sub", "sup", "u"])

/** Puts what lies between `<kbd>` and `</kbd>` into an element; other HTML stays what it is, text. */
function nest(parts: readonly { token: Token; views: readonly View[] }[]): View[] {
  const stack: { tag: string; raw: string; views: View[] }[] = [{ tag: "", raw: "", views: [] }]
  const top = () => stack.at(-1) as (typeof stack)[0]
  for (const { token, views } of parts) {
    const [, slash, name = ""] = (token.type === "html" && /^<(\/?)([a-z]+)\s*\/?>$/i.exec(token.raw)) || []
    const tag = name.toLowerCase()
    if (token.type === "html" && token.raw.startsWith("<!--")) continue
    if (tag === "br") top().views.push(shape("br", []))
    else if (HTML.has(tag) && !slash) stack.push({ tag, raw: token.raw, views: [] })
    else if (HTML.has(tag) && top().tag === tag) {
      const { views } = stack.pop() as (typeof stack)[0]
      top().views.push(shape(tag as Tag, views))
    } else top().views.push(...views)
  }
  while (stack.length > 1) {
    const { raw, views } = stack.pop() as (typeof stack)[0]
    top().views.push(raw, ...views)
  }
  return top().views
}

function shape(tag: Tag, children: readonly View[], attributes: Record<string, string> = {}): Shape {
  return { tag, attributes, children }
}

function code(token: Tokens.Code): View {
  const language = /^[\w+#.-]{1,20}/.exec(token.lang ?? "")?.[0]
  const label = language ? { "data-language": language } : {}
  return shape("pre", [shape("code", [token.text])], { tabindex: "0", ...label })
}

function link(token: Tokens.Link, children: readonly View[]): View {
  const target = targetOf(decode(token.href))
  if (target.kind === "note") return shape("a", children, { class: "wiki", href: "#", "data-note": target.title })
  if (target.kind === "none") return shape("span", children, { class: "no-link", title: token.href })
  return shape("a", children, outside(target.url))
}

const outside = (url: string) => ({ class: "outside", href: url, target: "_blank", rel: "noopener noreferrer nofollow" })

/** A picture on another machine is a link: to show it would tell that machine who reads, and when. */
function picture(token: Tokens.Image): View {
  const own = pictureOf(token.href)
  const alt = decode(token.text)
  if (own) return shape("img", [], { src: own, alt, loading: "lazy" })
  const target = targetOf(decode(token.href))
  if (target.kind !== "outside") return shape("span", [alt || token.href], { class: "no-link" })
  return shape("a", [`${alt || "Picture"} (${target.host})`], { ...outside(target.url), class: "outside picture" })
}

/** What was below the first line of a paragraph. */
function afterFirstLine({ tag, attributes, children }: Shape): Shape {
  const at = children.findIndex(child => typeof child !== "string" && child.tag === "br")
  return { tag, attributes, children: at < 0 ? [] : children.slice(at + 1) }
}

function properties(lines: readonly string[]): View[] {
  const pairs = lines.map(line => /^([^:\s][^:]{0,60}):\s*(.*)$/.exec(line) ?? [line, "", line.trim()])
  const rows = pairs.filter(([whole]) => whole?.trim())
  const views = rows.flatMap(([, key = "", value = ""]) => [shape("dt", [key]), shape("dd", [value])])
  return views.length === 0 ? [] : [shape("dl", views, { class: "properties" })]
}

const asWritten = (text: string) => shape("pre", [text], { class: "as-written", tabindex: "0" })

const NAMED: Readonly<Record<string, string>> = {
  ...{ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…" },
  ...{ mdash: "—", ndash: "–", larr: "←", rarr: "→", uarr: "↑", darr: "↓", times: "×", deg: "°", euro: "€", middot: "·" },
}

/** Reads the entities that people write. */
function decode(text: string): string {
  if (!text.includes("&")) return text
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return NAMED[name] ?? whole
      const code = decimal === undefined ? parseInt(hex as string, 16) : Number(decimal)
      return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : "\ufffd"
    },
  )
}
