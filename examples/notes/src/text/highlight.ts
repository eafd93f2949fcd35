import { Lines } from "./scan.js"

/** A run of characters of one look. */
export interface Run {
  readonly look: Look | undefined
  readonly text: string
}

export type Look =
  "code" | "done" | "emphasis" | "fence" | "heading" | "link" | "mark" | "quote" | "strike" | "strong" | "syntax" | "tag"

/** A line that was looked at, so that the next time only what changed is. */
export interface Line {
  readonly text: string
  readonly isProse: boolean
  readonly runs: readonly Run[]
}

const INLINE = new RegExp(
  [
    "(?<code>(`+)(?!`)[^\\n]*?[^`]\\2(?!`))",
    "(?<wiki>!?\\[\\[[^[\\]]{1,300}\\]\\])",
    '(?<link>!?\\[[^\\]]*\\]\\([^)\\s]*(?:\\s+"[^"]*")?\\))',
    "(?<url>https?:\\/\\/[^\\s<>()]+)",
    "(?<strong>\\*\\*(?=\\S)[^*]+\\*\\*|__(?=\\S)[^_]+__)",
    "(?<emphasis>(?<![*\\w])\\*(?=[^\\s*])[^*]+\\*(?!\\*)|(?<![_\\w])_(?=[^\\s_])[^_]+_(?![_\\w]))",
    "(?<strike>~~(?=\\S)[^~]+~~)",
    "(?<mark>==(?=\\S)[^=]+==)",
    "(?<tag>(?<=^|[\\s(,;])#(?=[\\p{L}\\p{N}_/-]*[\\p{L}_])[\\p{L}\\p{N}_][\\p{L}\\p{N}_/-]{0,63})",
  ].join("|"),
  "gu",
)

/** Longer lines are not looked into: a line may be a whole file. */
const CHARS_MAX = 5_000

/** Looks at a text; lines that were there before, above or below what changed, are taken over. */
export function highlight(text: string, head: number, before: readonly Line[] = []): Line[] {
  const prose = new Lines(head)
  const lines = text.split("\n")
  let same = 0
  while (same < lines.length && lines[same] === before[same]?.text) same++
  const grown = lines.length - before.length
  return lines.map((line, at) => {
    const isProse = prose.isProse(line)
    const known = before[at < same ? at : at - grown]
    if (known && known.text === line && known.isProse === isProse) return known
    return { text: line, isProse, runs: isProse ? proseRuns(line) : [{ look: "fence", text: line }] }
  })
}

function proseRuns(line: string): Run[] {
  if (line.length > CHARS_MAX) return [{ look: undefined, text: line }]
  const heading = /^ {0,3}#{1,6}\s/.exec(line)
  if (heading) return join([{ look: "syntax", text: heading[0] }, ...inlineRuns(line.slice(heading[0].length), "heading")])
  if (/^ {0,3}(?:[-*_]\s*){3,}$/.test(line)) return [{ look: "syntax", text: line }]
  const [start = ""] = /^(?:\s*>)*\s*(?:(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s)?)?/.exec(line) ?? []
  const look = /\[[xX]\]\s$/.test(start) ? "done" : start.trimStart().startsWith(">") ? "quote" : undefined
  return join([{ look: "syntax", text: start }, ...inlineRuns(line.slice(start.length), look)])
}

function inlineRuns(text: string, look: Look | undefined): Run[] {
  const runs: Run[] = []
  let from = 0
  for (const found of text.matchAll(INLINE)) {
    runs.push({ look, text: text.slice(from, found.index) })
    runs.push({ look: lookOf(found.groups as Record<string, string | undefined>), text: found[0] })
    from = found.index + found[0].length
  }
  runs.push({ look, text: text.slice(from) })
  return runs
}

function lookOf({ code, wiki, link, url, strong, emphasis, strike, mark }: Record<string, string | undefined>): Look {
  if (code) return "code"
  if (wiki || link || url) return "link"
  if (strong) return "strong"
  if (emphasis) return "emphasis"
  if (strike) return "strike"
  return mark ? "mark" : "tag"
}

const join = (runs: readonly Run[]) => runs.filter(run => run.text !== "")
