import * as Y from "yjs"
import { changeBetween, changesOf, moved, piecesOf, type Change } from "../text/change.js"
import { complete, wantedAt, type Wanted } from "../text/completion.js"
import { applied, indent, link, moveLines, newline, prefix, surround, tick, type Edit, type Selected } from "../text/editing.js"
import { highlight, type Line, type Run } from "../text/highlight.js"
import { headLines } from "../text/scan.js"
import { strokeOf } from "../commands.js"
import { fill, h, onceAFrame, setAttribute } from "./dom.js"

/** What the editor asks of the notes around it. */
export interface Surroundings {
  /** Names that could be meant, the best first. */
  suggest(wanted: Wanted): readonly string[]
  /** Somebody typed. */
  onTyped(): void
  /** Where the caret is now; undefined where it is not in the text. */
  onCaret(caret: Caret | undefined): void
}

/** A place in a text that stays where it is when others write. */
export interface Caret {
  readonly anchor: unknown
  readonly head: unknown
}

/** Somebody else's caret. */
export interface OtherCaret {
  readonly name: string
  readonly color: number
  readonly head: unknown
}

/** What is written here; what comes with another origin is others'. */
const OWN = Symbol("typed")
/** Longer texts are not coloured. */
const COLOURED_CHARS_MAX = 200_000
/** As much of what is typed without a pause is one step back. */
const UNDO_MS = 600

/** What a key, or a button, does to a text. */
export const actions = {
  bold: selected => surround(selected, "**"),
  italic: selected => surround(selected, "*"),
  strike: selected => surround(selected, "~~"),
  highlight: selected => surround(selected, "=="),
  code: selected => surround(selected, "`"),
  link,
  heading: selected => prefix(selected, "## "),
  list: selected => prefix(selected, "- "),
  numbered: selected => prefix(selected, "1. "),
  task: tick,
  quote: selected => prefix(selected, "> "),
  up: selected => moveLines(selected, -1),
  down: selected => moveLines(selected, 1),
} satisfies Record<string, (selected: Selected) => Edit | undefined>

export type Action = keyof typeof actions

/** Keys of actions. */
export const ACTION_KEYS: Readonly<Record<Action, string>> = {
  bold: "Mod+b",
  italic: "Mod+i",
  strike: "Mod+Shift+x",
  highlight: "Mod+Shift+h",
  code: "Mod+Shift+c",
  link: "Mod+Shift+k",
  heading: "Mod+Alt+1",
  list: "Mod+Shift+8",
  numbered: "Mod+Shift+7",
  task: "Mod+Enter",
  quote: "Mod+Shift+9",
  up: "Alt+ArrowUp",
  down: "Alt+ArrowDown",
}

const byKeys = new Map(Object.entries(ACTION_KEYS).map(([action, keys]) => [keys, action as Action]))

/** A text area whose text is coloured by what lies behind it, and that others write in too. */
export class Editor {
  readonly #area = h("textarea", {
    class: "text",
    spellcheck: true,
    autocapitalize: "sentences",
    "aria-label": "Text",
    placeholder: "Write…  [[ links a note, # tags it",
    rows: 1,
  })
  readonly #behind = h("div", { class: "behind", "aria-hidden": "true" })
  readonly #carets = h("div", { class: "carets", "aria-hidden": "true" })
  readonly #choices: Choices
  readonly element = h("div", { class: "editor" }, this.#behind, this.#carets, this.#area)
  readonly #paint = onceAFrame(() => this.#repaint())
  #text: Y.Text | undefined
  #undo: Y.UndoManager | undefined
  #value = ""
  #lines: readonly Line[] = []
  /** What others wrote while a character is being composed. */
  #held: Change[] | undefined
  #others: readonly OtherCaret[] = []

  constructor(readonly around: Surroundings) {
    this.#choices = new Choices(this.#area, chosen => this.#complete(chosen))
    this.element.append(this.#choices.element)
    const area = this.#area
    area.addEventListener("input", () => this.#typed())
    area.addEventListener("keydown", event => this.#key(event))
    area.addEventListener("beforeinput", event => this.#before(event))
    area.addEventListener("compositionstart", () => (this.#held = []))
    area.addEventListener("compositionend", () => this.#composed())
    area.addEventListener("blur", () => (this.#choices.close(), this.around.onCaret(undefined)))
    area.addEventListener("focus", () => this.#tellCaret())
    document.addEventListener("selectionchange", () => document.activeElement === area && this.#caretMoved())
    new ResizeObserver(() => this.#paint()).observe(this.element)
  }

  /** Shows a text, and writes what is typed into it. */
  bind(text: Y.Text | undefined): void {
    this.#text?.unobserve(this.#observe)
    this.#undo?.destroy()
    this.#text = text
    this.#held = undefined
    this.#undo = text && new Y.UndoManager(text, { trackedOrigins: new Set([OWN]), captureTimeout: UNDO_MS })
    text?.observe(this.#observe)
    this.#choices.close()
    this.#value = this.#area.value = text?.toString() ?? ""
    this.#area.setSelectionRange(0, 0)
    this.#others = []
    this.#repaint()
  }

  set isReadOnly(isReadOnly: boolean) {
    this.#area.readOnly = isReadOnly
  }

  get value(): string {
    return this.#value
  }

  get hasFocus(): boolean {
    return document.activeElement === this.#area
  }

  focus(caret?: number): void {
    this.#area.focus({ preventScroll: caret === undefined })
    if (caret !== undefined) this.#area.setSelectionRange(caret, caret)
  }

  /** Does an action to what is selected. */
  act(action: Action): void {
    this.#area.focus()
    this.edit(actions[action](this.#selected()))
  }

  edit(edit: Edit | undefined): void {
    if (!edit || this.#area.readOnly) return
    const after = applied(this.#selected(), edit)
    this.#area.setRangeText(edit.insert, edit.from, edit.to)
    this.#area.setSelectionRange(after.start, after.end)
    this.#typed()
  }

  /** Puts the whole text otherwise, as one step that can be taken back. */
  rewrite(text: string): void {
    this.#undo?.stopCapturing()
    this.#write(changeBetween(this.#value, text, text.length))
    this.#undo?.stopCapturing()
    this.#area.value = this.#value
    this.#paint()
  }

  /** Shows where others are. */
  showCarets(others: readonly OtherCaret[]): void {
    this.#others = others
    this.#paint()
  }

  /** Scrolls to a line, as of a heading. */
  showLine(number: number): void {
    this.#behind.children[number]?.scrollIntoView({ block: "center" })
    const caret = this.#value.split("\n").slice(0, number).join("\n").length + (number > 0 ? 1 : 0)
    this.focus(caret)
  }

  #selected(): Selected {
    const { value: text, selectionStart: start, selectionEnd: end } = this.#area
    return { text, start, end }
  }

  #typed(): void {
    if (this.#held) return this.#paint()
    this.#write(changeBetween(this.#value, this.#area.value, this.#area.selectionEnd))
    this.#suggest()
    this.#paint()
  }

  /** Writes a change of this person's. */
  #write(change: Change | undefined): void {
    const text = this.#text
    if (!change || !text?.doc) return
    const pieces = piecesOf(change.insert)
    text.doc.transact(() => {
      if (change.removed > 0) text.delete(change.at, change.removed)
      if (change.insert) text.insert(change.at, pieces[0] as string)
    }, OWN)
    let at = change.at + (pieces[0]?.length ?? 0)
    for (const piece of pieces.slice(1)) {
      text.doc.transact(() => text.insert(at, piece), OWN)
      at += piece.length
    }
    this.#value = text.toString()
    this.around.onTyped()
  }

  #composed(): void {
    const held = this.#held ?? []
    this.#held = undefined
    const typed = changeBetween(this.#value, this.#area.value, this.#area.selectionEnd)
    const through = (at: number) => held.reduce(moved, at)
    const at = through(typed?.at ?? 0)
    this.#write(typed && { at, removed: Math.max(0, through(typed.at + typed.removed) - at), insert: typed.insert })
    if (held.length > 0) this.#show(held)
    this.#suggest()
    this.#paint()
  }

  readonly #observe = (event: Y.YTextEvent, transaction: Y.Transaction) => {
    if (transaction.origin === OWN) return
    const changes = changesOf(event.delta)
    if (this.#held) return void this.#held.push(...changes)
    this.#show(changes)
    if (transaction.origin === this.#undo) this.#tookBack(changes)
    // What is chosen from stands elsewhere now.
    if (this.#choices.wanted) this.#suggest()
    this.#paint()
  }

  /** Shows what the text is now; what is selected stays selected. */
  #show(changes: readonly Change[]): void {
    const { selectionStart, selectionEnd, selectionDirection } = this.#area
    this.#value = this.#area.value = this.#text?.toString() ?? ""
    this.#area.setSelectionRange(changes.reduce(moved, selectionStart), changes.reduce(moved, selectionEnd), selectionDirection)
  }

  /** Taking back is typing too: the caret goes where it was done. */
  #tookBack(changes: readonly Change[]): void {
    const last = changes.at(-1)
    if (last) this.#area.setSelectionRange(last.at + last.insert.length, last.at + last.insert.length)
    this.around.onTyped()
  }

  #step(way: "undo" | "redo"): boolean {
    return Boolean(this.#undo?.[way]())
  }

  /** The browser's own history knows nothing of what others wrote. */
  #before(event: InputEvent): void {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault()
      this.#step(event.inputType === "historyUndo" ? "undo" : "redo")
    }
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing || this.#choices.key(event)) return
    const stroke = strokeOf(event)
    if (stroke === "Mod+z" || stroke === "Mod+Shift+z" || stroke === "Mod+y") {
      event.preventDefault()
      return void this.#step(stroke === "Mod+z" ? "undo" : "redo")
    }
    const action = byKeys.get(stroke)
    const edit = action ? actions[action](this.#selected()) : this.#plainKey(stroke)
    if (!edit && !action) return
    event.preventDefault()
    this.edit(edit)
  }

  #plainKey(stroke: string): Edit | undefined {
    if (stroke === "Enter") return newline(this.#selected())
    if (stroke === "Tab") return indent(this.#selected(), 1)
    if (stroke === "Shift+Tab") return indent(this.#selected(), -1)
    return undefined
  }

  /** What could be completed where the caret is. */
  #wanted(): Wanted | undefined {
    const { selectionStart: caret, selectionEnd, readOnly } = this.#area
    return caret === selectionEnd && !readOnly ? wantedAt(this.#value, caret) : undefined
  }

  #suggest(): void {
    const wanted = this.#wanted()
    if (!wanted) return this.#choices.close()
    const names = this.around.suggest(wanted)
    this.#repaint()
    this.#choices.open(wanted, names, this.#rectAt(wanted.from))
  }

  #complete(chosen: string): void {
    const { wanted } = this.#choices
    if (wanted) this.edit(complete(wanted, this.#value, chosen))
    this.#choices.close()
  }

  /** Choices are for where they were opened. */
  #caretMoved(): void {
    const { wanted } = this.#choices
    if (wanted && !this.#held) {
      const now = this.#wanted()
      if (now?.from !== wanted.from || now.query !== wanted.query) this.#choices.close()
    }
    this.#tellCaret()
  }

  #tellCaret(): void {
    const text = this.#text
    if (!text) return
    const { selectionStart, selectionEnd } = this.#area
    const at = (index: number) => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index)) as unknown
    this.around.onCaret({ anchor: at(selectionStart), head: at(selectionEnd) })
  }

  /** Colours what is behind the text; only lines that changed are made anew. */
  #repaint(): void {
    const text = this.#area.value
    const isColoured = text.length <= COLOURED_CHARS_MAX
    const lines = isColoured ? highlight(text, headLines(text), this.#lines) : plainLines(text)
    this.element.classList.toggle("empty", text === "")
    replaceLines(this.#behind, this.#lines, lines)
    this.#lines = lines
    this.#paintCarets()
  }

  #paintCarets(): void {
    if (this.#others.length === 0 && !this.#carets.firstChild) return
    const ydoc = this.#text?.doc
    const places = ydoc ? this.#others.flatMap(other => placeOf(other, ydoc)) : []
    fill(this.#carets, ...places.map(place => this.#caret(place)))
  }

  #caret({ name, color, at }: { name: string; color: number; at: number }): HTMLElement {
    const mark = h("span", { class: `caret color-${color}` }, h("span", { class: "caret-name" }, name))
    const { left, top, height } = this.#rectAt(at)
    mark.style.transform = `translate(${left}px, ${top}px)`
    mark.style.height = `${height}px`
    return mark
  }

  /** Where a character is, within the editor. */
  #rectAt(index: number): { left: number; top: number; height: number } {
    let from = 0
    let number = 0
    for (const line of this.#lines) {
      if (index <= from + line.text.length) break
      from += line.text.length + 1
      number++
    }
    const around = this.element.getBoundingClientRect()
    const line = this.#behind.children[number]
    const rect = (line && rectIn(line, index - from)) ?? { left: around.left, top: around.top, height: 24 }
    return { left: rect.left - around.left, top: rect.top - around.top, height: rect.height }
  }
}

function placeOf({ name, color, head }: OtherCaret, ydoc: Y.Doc) {
  try {
    const at = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(head), ydoc)
    return at ? [{ name, color, at: at.index }] : []
  } catch {
    // Whatever another tab says is not more than that.
    return []
  }
}

function rectIn(line: Element, offset: number): { left: number; top: number; height: number } | undefined {
  const range = document.createRange()
  let left = offset
  for (const node of textNodes(line)) {
    const { length } = node.data
    if (left > length) {
      left -= length
      continue
    }
    range.setStart(node, left)
    range.setEnd(node, left)
    const rects = range.getClientRects()
    return rects[rects.length - 1] ?? line.getBoundingClientRect()
  }
  return line.getBoundingClientRect()
}

function* textNodes(line: Element): Generator<Text> {
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) yield node as Text
}

function plainLines(text: string): Line[] {
  return [{ text, isProse: true, runs: [{ look: undefined, text }] }]
}

/** Makes the lines of an element those of `after`: what is the same above and below stays. */
function replaceLines(element: HTMLElement, before: readonly Line[], after: readonly Line[]): void {
  const count = Math.min(before.length, after.length)
  let head = 0
  while (head < count && before[head] === after[head]) head++
  let tail = 0
  while (tail < count - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  for (let left = before.length - head - tail; left > 0; left--) element.children[head]?.remove()
  const next = element.children[head] ?? null
  for (const line of after.slice(head, after.length - tail)) element.insertBefore(lineElement(line), next)
}

function lineElement({ text, isProse, runs }: Line): HTMLElement {
  const children = text === "" ? [h("br")] : runs.map(runElement)
  return h("div", isProse ? { class: headingClass(runs) } : { class: "in-fence" }, ...children)
}

const headingClass = (runs: readonly Run[]) =>
  runs[0]?.text.trimStart().startsWith("#") && runs[0].look === "syntax" ? "heading" : undefined

const runElement = ({ look, text }: Run) => (look ? h("span", { class: look }, text) : text)

/** Names below the caret, to be chosen from while typing goes on. */
class Choices {
  readonly element = h("ul", { class: "choices", role: "listbox", id: "choices", "aria-label": "Suggestions", hidden: true })
  wanted: Wanted | undefined
  #names: readonly string[] = []
  #at = 0

  constructor(
    readonly area: HTMLTextAreaElement,
    readonly onChosen: (name: string) => void,
  ) {
    // A click would take the focus from the text.
    this.element.addEventListener("pointerdown", event => {
      event.preventDefault()
      const at = [...this.element.children].indexOf((event.target as Element).closest("li") as Element)
      const name = this.#names[at]
      if (name !== undefined) this.onChosen(name)
    })
  }

  open(wanted: Wanted, names: readonly string[], { left, top, height }: { left: number; top: number; height: number }): void {
    if (names.length === 0 || (names.length === 1 && names[0] === wanted.query)) return this.close()
    const isSame = this.wanted?.query === wanted.query
    this.#at = isSame ? Math.max(0, names.indexOf(this.#names[this.#at] ?? "")) : 0
    this.wanted = wanted
    this.#names = names
    fill(this.element, ...names.map((name, at) => h("li", { role: "option", id: `choice-${at}` }, name)))
    this.element.hidden = false
    this.element.style.left = `${Math.max(0, Math.min(left, this.area.offsetWidth - this.element.offsetWidth))}px`
    this.element.style.top = `${top + height + 4}px`
    this.#mark()
  }

  close(): void {
    if (this.element.hidden) return
    this.element.hidden = true
    this.wanted = undefined
    for (const name of ["aria-activedescendant", "aria-controls"]) this.area.removeAttribute(name)
  }

  /** Whether a key was for the choices. */
  key(event: KeyboardEvent): boolean {
    if (this.element.hidden || event.ctrlKey || event.metaKey || event.altKey) return false
    const count = this.#names.length
    if (event.key === "ArrowDown") this.#at = (this.#at + 1) % count
    else if (event.key === "ArrowUp") this.#at = (this.#at + count - 1) % count
    else if (event.key === "Enter" || event.key === "Tab") this.onChosen(this.#names[this.#at] as string)
    else if (event.key === "Escape") this.close()
    else return false
    event.preventDefault()
    event.stopPropagation()
    this.#mark()
    return true
  }

  #mark(): void {
    if (this.element.hidden) return
    ;[...this.element.children].forEach((line, at) => setAttribute(line, "aria-selected", String(at === this.#at)))
    this.element.children[this.#at]?.scrollIntoView({ block: "nearest" })
    this.area.setAttribute("aria-controls", "choices")
    this.area.setAttribute("aria-activedescendant", `choice-${this.#at}`)
  }
}
