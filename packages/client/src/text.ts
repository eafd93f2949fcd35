import { TextBinding, readText as readWhole, type TextSource } from "@selvedge/crdt/text"
import { clientError, type ClientError } from "./error.js"
import type { TextField } from "./text-field.js"

export { readUpdates, textOf } from "@selvedge/crdt/text"

/** How a text is opened. */
export interface TextOptions {
  /** Milliseconds for which what is typed is gathered into one operation: 200 unless said. */
  readonly gatherMs?: number
  /** What was typed cannot be written, as a piece of more than 768 KiB: it is taken back, and `onReplaced` called. */
  readonly onRefused?: (why: ClientError) => void
  /** The text began afresh, as what was in it was deleted: `ydoc` and `text` are others now, and editors are to be bound to these. */
  readonly onReplaced?: (text: OpenText) => void
}

/** A text that is being edited, as a `Y.Text`: editors that know Yjs bind to it. Close it when nobody edits any more. */
export interface OpenText {
  readonly ydoc: TextBinding["ydoc"]
  readonly text: TextBinding["text"]
  /** Writes what was typed and still waits. */
  flush(): void
  /** Writes what waits, and lets go. */
  close(): void
}

/** Opens a text to edit it: `openText(note.body)`. What was typed is written when the page is hidden or left, too. */
export function openText(field: TextField, options: TextOptions = {}): OpenText {
  return new Opened(field, options)
}

class Opened implements OpenText {
  readonly #binding: TextBinding
  readonly #closed = new AbortController()

  constructor(field: TextField, { gatherMs, onReplaced, onRefused }: TextOptions) {
    this.#binding = new TextBinding(sourceOf(field), field.entity, field.field, {
      ...(gatherMs === undefined ? {} : { gatherMs }),
      onReplaced: () => onReplaced?.(this),
      ...(onRefused && { onRefused: why => onRefused(clientError("writing a text", why)) }),
    })
    const { signal } = this.#closed
    const target = (globalThis as { document?: EventTarget }).document
    target?.addEventListener("visibilitychange", () => this.flush(), { signal })
    if (target) globalThis.addEventListener("pagehide", () => this.flush(), { signal })
  }

  get ydoc(): TextBinding["ydoc"] {
    return this.#binding.ydoc
  }

  get text(): TextBinding["text"] {
    return this.#binding.text
  }

  flush(): void {
    this.#binding.flush()
  }

  close(): void {
    this.#closed.abort()
    this.#binding.destroy()
  }
}

/** Longer texts are written in pieces, each an update that a document takes. */
const PIECE_CHARS = 128 << 10

/** Texts that were read, by what they are made of: the objects that hold the updates of an entity are replaced when these change. */
const READ = new WeakMap<readonly Uint8Array[], string>()

/** Reads a text; one that did not change since is not read again. */
export function readText(field: TextField): string {
  const updates = field.updates()
  const text = READ.get(updates) ?? readWhole(sourceOf(field), field.entity, field.field)
  READ.set(updates, text)
  return text
}

/** Changes a text into another, as little as it takes: what others write elsewhere in it at the same time stays. */
export function writeText(field: TextField, text: string): void {
  const open = openText(field)
  const before = open.text.toString()
  const [start, end] = unchanged(before, text)
  const written = text.slice(start, text.length - end)
  const pieces = piecesOf(written)
  open.ydoc.transact(() => {
    open.text.delete(start, before.length - end - start)
    open.text.insert(start, pieces[0] ?? "")
  })
  let at = start + (pieces[0]?.length ?? 0)
  for (const piece of pieces.slice(1)) {
    open.text.insert(at, piece)
    at += piece.length
  }
  open.close()
}

/** A text in pieces; no pair of surrogates is cut. */
function piecesOf(text: string): string[] {
  const pieces: string[] = []
  for (let at = 0; at < text.length;) {
    const end = at + PIECE_CHARS
    const next = isLow(text, end) ? end + 1 : end
    pieces.push(text.slice(at, next))
    at = next
  }
  return pieces
}

/** How many letters two texts have in common at their beginnings and at their ends; no pair of surrogates is cut. */
function unchanged(before: string, after: string): [start: number, end: number] {
  const most = Math.min(before.length, after.length)
  let start = 0
  while (start < most && before[start] === after[start]) start++
  if (isHigh(before, start - 1)) start--
  let end = 0
  while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++
  if (isLow(before, before.length - end)) end--
  return [start, Math.max(end, 0)]
}

function isHigh(text: string, at: number): boolean {
  return /[\ud800-\udbff]/.test(text[at] ?? "")
}

function isLow(text: string, at: number): boolean {
  return /[\udc00-\udfff]/.test(text[at] ?? "")
}

function sourceOf(field: TextField): TextSource {
  return {
    textNames: () => [...field.names()],
    textUpdates: () => [...field.updates()],
    pushText: (_entity, _field, update) => field.push(update),
    squashText: (_entity, _field, all) => field.squash(all),
    subscribe: listener => field.subscribe(() => listener({ entities: undefined })),
  }
}
