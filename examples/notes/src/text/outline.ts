import { headLines, Lines, plain } from "./scan.js"

/** A heading, and the line it is in. */
export interface OutlineEntry {
  readonly depth: number
  readonly text: string
  readonly line: number
}

/** The headings of a note, as they are written with hashes. */
export function outline(body: string): OutlineEntry[] {
  const prose = new Lines(headLines(body))
  return body.split("\n").flatMap((text, line) => {
    const [, hashes, rest = ""] = (prose.isProse(text) && /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/.exec(text)) || []
    return hashes && rest ? [{ depth: hashes.length, text: plain(rest), line }] : []
  })
}
