import type { App } from "../app.js"
import { titleOf, type Note } from "../model/vault.js"
import { outline, type OutlineEntry } from "../text/outline.js"
import { fill, h, whenQuiet } from "./dom.js"

/** It is not made anew for each letter. */
const QUIET_MS = 300

/** Beside a note: who links to it, what is in it, and how long it is. */
export class Panel {
  readonly element = h("aside", { class: "panel", "aria-label": "Links and outline", hidden: true, tabindex: "0" })
  #note: Note | undefined
  readonly #ask = whenQuiet(QUIET_MS, () => this.#repaint())

  constructor(
    readonly app: App,
    readonly of: { outline(): string; onHeading(line: number, index: number): void },
  ) {}

  show(note: Note, isShown: boolean): void {
    const isOther = this.#note?.id !== note.id || this.element.hidden
    this.#note = note
    this.element.hidden = !isShown
    if (!isShown) return
    this.#ask()
    if (isOther) this.#ask.now()
  }

  #repaint(): void {
    const note = this.#note
    if (!note || this.element.hidden) return
    const text = this.of.outline()
    const links = this.app.vault.backlinks(note.id)
    const headings = outline(text)
    fill(
      this.element,
      section(`Linked from ${links.length || "no note"}`, ...links.map(({ id, context }) => this.#link(id, context))),
      headings.length > 0 &&
        section("Outline", h("ul", { class: "outline" }, ...headings.map((entry, at) => this.#heading(entry, at)))),
      section("About", facts(note, text)),
    )
  }

  #link(id: string, context: string): HTMLElement {
    const go = () => this.app.show(id)
    const title = h("strong", {}, titleOf(this.app.vault.note(id)))
    return h("button", { type: "button", class: "backlink", onclick: go }, title, h("span", {}, context))
  }

  #heading({ depth, text, line }: OutlineEntry, index: number): HTMLElement {
    const button = h("button", { type: "button", class: `depth-${depth}`, onclick: () => this.of.onHeading(line, index) }, text)
    return h("li", {}, button)
  }
}

function section(title: string, ...children: HTMLElement[]): HTMLElement {
  return h("section", {}, h("h2", {}, title), ...children)
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })

function facts(note: Note, text: string): HTMLElement {
  const words = text.match(/[\p{L}\p{N}'’-]+/gu)?.length ?? 0
  const rows: [string, string][] = [
    ["Words", String(words)],
    ["Characters", String(text.length)],
    ["Created", moment.format(note.created)],
    ["Edited", moment.format(note.updated)],
  ]
  return h("dl", { class: "facts" }, ...rows.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]))
}
