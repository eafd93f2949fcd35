import type { App } from "../app.js"
import { keysLabel, type Command } from "../commands.js"
import { titleOf, type Note } from "../model/vault.js"
import { rank, score } from "../notes/fuzzy.js"
import { openBare } from "./dialog.js"
import { fill, h, icon, setAttribute } from "./dom.js"

const SHOWN_MAX = 50
const RECENT = 8

/** A line of the palette. */
interface Line {
  readonly label: string
  readonly detail: string
  readonly picture: Parameters<typeof icon>[0]
  readonly keys: string | undefined
  run(): void
}

/** Finds a note or a command by some of its letters; `>` finds commands only. */
export function openPalette(app: App, commands: readonly Command[], begin = ""): void {
  const dialog = openBare("Find a note or a command", "palette")
  const list = h("ul", { role: "listbox", id: "palette-lines", "aria-label": "Notes and commands" })
  const input = h("input", {
    type: "text",
    value: begin,
    role: "combobox",
    placeholder: "Find a note, or > for commands",
    "aria-label": "Find a note or a command",
    "aria-expanded": "true",
    "aria-controls": "palette-lines",
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
  })
  let lines: readonly Line[] = []
  let at = 0
  const mark = () => {
    ;[...list.children].forEach((line, number) => setAttribute(line, "aria-selected", String(number === at)))
    list.children[at]?.scrollIntoView({ block: "nearest" })
    setAttribute(input, "aria-activedescendant", lines.length > 0 && `palette-${at}`)
  }
  const paint = () => {
    lines = linesFor(app, commands, input.value)
    at = 0
    fill(
      list,
      ...lines.map(lineElement),
      lines.length === 0 && h("li", { class: "quiet", role: "option", "aria-disabled": "true" }, "Nothing fits."),
    )
    mark()
  }
  const run = (number: number) => {
    const line = lines[number]
    if (!line) return
    dialog.close()
    line.run()
  }
  input.addEventListener("input", paint)
  input.addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key]
    if (step && lines.length > 0)
      at = Math.abs(step) === 1 ? (at + step + lines.length) % lines.length : Math.max(0, Math.min(lines.length - 1, at + step))
    else if (event.key === "Enter" && !event.isComposing) run(at)
    else return
    event.preventDefault()
    mark()
  })
  list.addEventListener("click", event => run([...list.children].indexOf((event.target as Element).closest("li") as Element)))
  dialog.body.append(h("div", { class: "search" }, icon("search"), input), list)
  paint()
  input.focus()
}

function linesFor(app: App, commands: readonly Command[], typed: string): Line[] {
  const isCommand = typed.startsWith(">")
  const query = typed.replace(/^>/, "").trim()
  const possible = commands.filter(command => command.isPossible?.(app) ?? true)
  const found = rank(query, possible, command => command.title, SHOWN_MAX).map(command => commandLine(app, command))
  if (isCommand) return found
  const notes = [...app.vault.notes.values()].filter(note => note.trashed === undefined)
  if (!query) {
    const recent = notes.sort((a, b) => b.updated - a.updated).slice(0, RECENT)
    return [...recent.map(note => noteLine(app, note)), ...possible.map(command => commandLine(app, command))]
  }
  const fitting = rank(query, notes, titleOf, SHOWN_MAX - 10).map(note => noteLine(app, note))
  const isExact = app.vault.resolve(query) !== undefined
  const create: Line = {
    label: `Write “${query}”`,
    detail: "New note",
    picture: "plus",
    keys: undefined,
    run: () => app.showTitle(query),
  }
  // A command whose name is begun is meant.
  const meant = found.filter(({ label }) => (score(query, label) ?? 0) >= 600).slice(0, 5)
  const rest = found.filter(line => !meant.includes(line)).slice(0, 5)
  return [...meant, ...fitting, ...(isExact || app.vault.isReadOnly ? [] : [create]), ...rest]
}

function noteLine(app: App, note: Note): Line {
  const folder = app.vault.folder(note.folder)
  return {
    label: titleOf(note),
    detail: folder?.path.join(" / ") ?? "",
    picture: note.isTemplate ? "template" : "note",
    keys: undefined,
    run: () => app.show(note.id),
  }
}

function commandLine(app: App, command: Command): Line {
  const keys = command.keys && keysLabel(command.keys)
  return { label: command.title, detail: command.group, picture: command.icon ?? "chevron", keys, run: () => command.run(app) }
}

function lineElement({ label, detail, picture, keys }: Line, at: number): HTMLElement {
  return h(
    "li",
    { role: "option", id: `palette-${at}` },
    icon(picture),
    h("span", { class: "label" }, label),
    h("span", { class: "detail" }, detail),
    keys !== undefined && h("kbd", {}, keys),
  )
}
