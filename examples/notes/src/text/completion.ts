/** What somebody is about to write, and could have completed. */
export interface Wanted {
  readonly kind: "note" | "tag"
  /** What there is of it so far. */
  readonly query: string
  /** Where it begins, after its mark. */
  readonly from: number
}

/** Looks at what stands before the caret. */
export function wantedAt(text: string, caret: number): Wanted | undefined {
  const line = text.slice(Math.max(text.lastIndexOf("\n", caret - 1) + 1, caret - 200), caret)
  const note = /\[\[([^[\]|#]*)$/.exec(line)
  if (note) return { kind: "note", query: note[1] as string, from: caret - (note[1] as string).length }
  const tag = /(?:^|[\s(,;])#([\p{L}\p{N}_/-]{1,64})$/u.exec(line)
  if (tag) return { kind: "tag", query: tag[1] as string, from: caret - (tag[1] as string).length }
  return undefined
}

/** What is put in place of `query`, and where the caret is then. */
export function complete({ kind, from, query }: Wanted, text: string, chosen: string) {
  const to = from + query.length
  const after = text.slice(to)
  const closing = kind === "tag" ? (/^\s/.test(after) ? "" : " ") : after.startsWith("]]") ? "" : "]]"
  const caret = from + chosen.length + (kind === "note" ? 2 : closing.length)
  return { from, to, insert: chosen + closing, start: caret, end: caret }
}
