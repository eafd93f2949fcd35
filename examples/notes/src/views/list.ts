import type { App, Scope } from "../app.js"
import { isListed, titleOf, type Note } from "../model/vault.js"
import { compareNotes, labelled, periodOf, within, type Row } from "../notes/order.js"
import type { Hit } from "../notes/search.js"
import { plain } from "../text/scan.js"
import { choose, onChosen, settings } from "../settings.js"
import { confirm } from "./dialog.js"
import { fill, h, icon, iconButton, onceAFrame, setAttribute, watchPress, whenQuiet } from "./dom.js"
import { openMenu } from "./menu.js"
import { DRAGGED } from "./sidebar.js"

const NOTE_HEIGHT = 78
const LABEL_HEIGHT = 34
/** So many pixels above and below what is seen are there too. */
const MARGIN = 400
/** What changes while results are shown is searched when nothing changed for so long. */
const SEARCH_MS = 40

interface Placed {
  readonly row: Row<Note>
  readonly top: number
  /** Its place among the notes. */
  readonly number: number
}

/** Notes of a scope, or those that were searched; only those that are seen are in the page. */
export class List {
  readonly #title = h("h2", {}, "Notes")
  readonly #count = h("span", { class: "count" })
  readonly #search = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search notes",
    autocomplete: "off",
    spellcheck: "false",
  })
  readonly #hint = h("p", { class: "hint", role: "status" })
  readonly #rows = h("div", { class: "rows", role: "listbox", tabindex: "0", "aria-label": "Notes" })
  readonly #scroller = h("div", { class: "scroll" }, this.#rows)
  readonly #empty = h("div", { class: "nothing", hidden: true })
  readonly #emptyTrash = h(
    "button",
    { type: "button", class: "button danger", hidden: true, onclick: () => void this.#deleteTrash() },
    "Empty the trash",
  )
  readonly #add = iconButton("edit", "New note", { onclick: () => this.doing.onNew() })
  readonly element: HTMLElement
  readonly #paint = onceAFrame(() => this.#repaint())
  readonly #place = onceAFrame(() => this.#placeRows())
  readonly #askAgain = whenQuiet(SEARCH_MS, () => void this.#find({ isSame: true }))
  readonly #elements = new Map<string, HTMLElement>()
  readonly #press = watchPress(this.#rows, "[role=option]", this.#place)
  /** Rows that say what was; they stay until the next frame has others, so that the list is never without them. */
  readonly #outdated = new Set<string>()
  #placed: readonly Placed[] = []
  /** Which part of the list is seen. */
  #seen = { top: 0, height: 0 }
  #shown: readonly string[] = []
  #hits: readonly Hit[] | undefined
  #asked = 0
  /** The last question is not answered yet. */
  #isWaiting = false
  /** What the person wants with its answer. */
  #then: (() => void) | undefined
  /** Something changed since it was asked. */
  #isStale = false

  constructor(
    readonly app: App,
    readonly doing: { onNew(): void; onMenu(): void; onOpen(): void; onNoteMenu(id: string, anchor: HTMLElement): void },
  ) {
    const sort = iconButton("sort", "Sort", { "aria-haspopup": "menu", onclick: () => sortMenu(sort) })
    const menu = iconButton("menu", "Folders and tags", { class: "icon-button show-sidebar", onclick: doing.onMenu })
    const head = h("header", {}, menu, h("div", { class: "heading" }, this.#title, this.#count), sort, this.#add)
    const search = h("div", { class: "search" }, icon("search"), this.#search)
    this.element = h(
      "section",
      { class: "list", "aria-label": "List of notes" },
      head,
      search,
      this.#hint,
      this.#emptyTrash,
      this.#scroller,
      this.#empty,
    )
    this.#scroller.addEventListener("scroll", () => this.#look(), { passive: true })
    new ResizeObserver(() => this.#look()).observe(this.#scroller)
    this.#search.addEventListener("input", () => void this.#find({ isSame: false }))
    this.#search.addEventListener("keydown", event => this.#searchKey(event))
    this.#rows.addEventListener("keydown", event => this.#key(event))
    this.#rows.addEventListener("click", event => this.#click(event))
    this.#rows.addEventListener("contextmenu", event => this.#contextMenu(event))
    this.#rows.addEventListener("dragstart", event => this.#drag(event))
    app.onPlace((place, before) => {
      if (place.scope !== before.scope) this.clearSearch()
      this.#paint()
    })
    app.onVault(change => this.#changed(change === undefined, change?.notes, change?.isOrder ?? true))
    onChosen(this.#paint)
    this.#paint()
  }

  focusSearch(): void {
    this.#search.focus()
    this.#search.select()
  }

  focus(): void {
    this.#rows.focus()
  }

  searchFor(text: string): void {
    this.#search.value = text
    this.focusSearch()
    void this.#find({ isSame: false })
  }

  clearSearch(): void {
    if (!this.#search.value && !this.#hits) return
    this.#search.value = ""
    this.#asked++
    this.#isWaiting = false
    this.#then = undefined
    this.#take(undefined)
  }

  /** Goes to the next note of the list, or the one before. */
  step(by: 1 | -1): void {
    this.#paint.now()
    const at = this.#shown.indexOf(this.app.place.note ?? "")
    const next = this.#shown[at < 0 ? (by > 0 ? 0 : this.#shown.length - 1) : at + by]
    if (next === undefined) return
    this.app.go({ note: next }, "replace")
    this.#reveal(next)
  }

  /** The note that takes the place of one that goes. */
  after(id: string): string | undefined {
    this.#paint.now()
    const at = this.#shown.indexOf(id)
    return this.#shown[at + 1] ?? this.#shown[at - 1]
  }

  #changed(isOther: boolean, notes: ReadonlySet<string> | undefined, isOrder: boolean): void {
    for (const id of notes ?? this.#elements.keys()) this.#outdated.add(id)
    if (isOther) {
      this.#placed = []
      this.clearSearch()
    }
    if (this.#hits || this.#isWaiting) this.#askAgain()
    if (isOrder) this.#paint()
    else this.#place()
  }

  #forget(id: string): void {
    this.#elements.get(id)?.remove()
    this.#elements.delete(id)
  }

  async #find({ isSame }: { isSame: boolean }): Promise<void> {
    // Changes may come quicker than answers: one that is on its way is shown, and asked for again then.
    if (isSame && this.#isWaiting) return void (this.#isStale = true)
    const text = this.#search.value.trim()
    const number = this.#begin()
    const hits = text && this.app.hasVault ? await this.app.vault.finder.search(text) : undefined
    if (number !== this.#asked) return
    this.#isWaiting = false
    if (!isSame) this.#scrollTo(0)
    this.#take(hits)
    if (document.activeElement === this.#search) this.#then?.()
    this.#then = undefined
    if (this.#isStale) this.#askAgain()
  }

  /** Begins a question, which answers to earlier ones do not answer. */
  #begin(): number {
    this.#isWaiting = true
    this.#isStale = false
    this.#then = undefined
    return ++this.#asked
  }

  /** Does something with what is found: at once, or when what was typed is answered and nobody typed on. */
  #withAnswer(run: () => void): void {
    if (this.#isWaiting) this.#then = run
    else run()
  }

  /** Shows what was found; rows say where. */
  #take(hits: readonly Hit[] | undefined): void {
    this.#hits = hits
    for (const key of this.#elements.keys()) this.#outdated.add(key)
    this.#paint()
  }

  #repaint(): void {
    if (!this.app.hasVault) return
    const { scope } = this.app.place
    const rows = this.#wanted(scope)
    this.#title.textContent = this.#hits ? "Results" : this.#titleOf(scope)
    this.#shown = rows.flatMap(row => (row.kind === "note" ? [row.note.id] : []))
    this.#count.textContent = String(this.#shown.length)
    const { isReadOnly } = this.app.vault
    this.#add.hidden = isReadOnly
    this.#emptyTrash.hidden = isReadOnly || scope.kind !== "trash" || this.#shown.length === 0 || this.#hits !== undefined
    this.#hint.textContent = this.#hits && !this.app.vault.isWhole ? "Still reading: there may be more." : ""
    let [top, number] = [0, 0]
    this.#placed = rows.map(row => {
      const placed = { row, top, number: row.kind === "note" ? ++number : number }
      top += row.kind === "note" ? NOTE_HEIGHT : LABEL_HEIGHT
      return placed
    })
    this.#rows.style.height = `${top}px`
    this.#showNothing(scope)
    this.#placeRows()
  }

  #wanted(scope: Scope): Row<Note>[] {
    const { vault } = this.app
    const isIn = this.#filter(scope)
    if (this.#hits) {
      const isSearched = scope.kind === "trash" || scope.kind === "templates" ? isIn : isListed
      const found = this.#hits.map(({ id }) => vault.note(id)).filter(note => note !== undefined && isSearched(note)) as Note[]
      return found.map(note => ({ kind: "note", note }))
    }
    const { order } = settings()
    const notes = [...vault.notes.values()].filter(isIn).sort(compareNotes(order))
    return labelled(notes, order, Date.now())
  }

  #filter(scope: Scope): (note: Note) => boolean {
    const { vault } = this.app
    if (scope.kind === "trash") return note => note.trashed !== undefined
    if (scope.kind === "templates") return note => note.isTemplate && note.trashed === undefined
    if (scope.kind === "tag") return note => isListed(note) && vault.tags(note.id).some(tag => isTagWithin(tag, scope.value))
    if (scope.kind !== "folder") return isListed
    const folders = within(scope.value, vault.folders)
    return note => isListed(note) && folders.has(note.folder)
  }

  #titleOf({ kind, value }: Scope): string {
    if (kind === "folder") return this.app.vault.folder(value)?.name ?? "Folder"
    if (kind === "tag") return `#${value}`
    return { all: "All notes", graph: "All notes", templates: "Templates", trash: "Trash" }[kind]
  }

  #showNothing(scope: Scope): void {
    this.#empty.hidden = this.#shown.length > 0
    this.#scroller.hidden = this.#shown.length === 0
    if (!this.#empty.hidden) fill(this.#empty, ...this.#nothing(scope))
  }

  #nothing({ kind }: Scope): HTMLElement[] {
    const says = (title: string, text: string) => [h("p", { class: "title" }, title), h("p", {}, text)]
    if (this.#hits) return says("Nothing found", "Words may be begun only; -word leaves out, #tag narrows.")
    if (kind === "trash") return says("The trash is empty", "Notes stay here for 30 days.")
    if (kind === "templates")
      return says("No templates yet", "A template is a note that others begin with. One called Daily begins each day.")
    if (this.app.vault.isReadOnly) return says("No notes here", "What others write comes here by itself.")
    const button = h("button", { type: "button", class: "button main", onclick: this.doing.onNew }, "Write a note")
    return [...says("No notes here", "What you write is on this device at once."), button]
  }

  /** Asks what is seen when nothing waits to be laid out: asking in the midst of changes would have it done twice. */
  #look(): void {
    const { scrollTop: top, clientHeight: height } = this.#scroller
    this.#seen = { top, height }
    this.#place()
  }

  #scrollTo(top: number): void {
    this.#scroller.scrollTop = top
    this.#look()
  }

  /** Puts the rows into the page that are seen. */
  #placeRows(): void {
    const { top: scrollTop, height } = this.#seen
    const [from, to] = [scrollTop - MARGIN, scrollTop + (height || this.#scroller.clientHeight) + MARGIN]
    const seen = new Set<string>()
    for (let at = firstBelow(this.#placed, from); at < this.#placed.length; at++) {
      const placed = this.#placed[at] as Placed
      const { row, top } = placed
      if (top > to) break
      const key = row.kind === "note" ? row.note.id : `label:${row.label}`
      seen.add(key)
      this.#placeRow(key, placed)
    }
    for (const key of [...this.#elements.keys()]) if (!seen.has(key)) this.#forget(key)
    const pressed = [...this.#elements].find(([, element]) => element === this.#press.element)
    this.#outdated.clear()
    if (pressed) this.#outdated.add(pressed[0])
    const current = this.#elements.get(this.app.place.note ?? "")
    setAttribute(this.#rows, "aria-activedescendant", current?.id)
  }

  #placeRow(key: string, { row, top, number }: Placed): void {
    const element = this.#element(key, row)
    element.style.transform = `translateY(${top}px)`
    if (row.kind !== "note") return
    setAttribute(element, "aria-selected", String(row.note.id === this.app.place.note))
    setAttribute(element, "aria-setsize", this.#shown.length)
    setAttribute(element, "aria-posinset", number)
  }

  #element(key: string, row: Row<Note>): HTMLElement {
    const known = this.#elements.get(key)
    if (known && (known === this.#press.element || !this.#outdated.has(key))) return known
    const element = row.kind === "label" ? labelElement(row.label) : this.#noteElement(row.note)
    this.#elements.set(key, element)
    if (known) known.replaceWith(element)
    else this.#rows.append(element)
    return element
  }

  #noteElement(note: Note): HTMLElement {
    const { vault } = this.app
    const { order } = settings()
    const words = this.#hits?.find(hit => hit.id === note.id)?.words ?? []
    const title = h("div", { class: "row-title" }, note.isPinned && icon("pin"), h("span", {}, ...marked(titleOf(note), words)))
    const text = words.length > 0 ? around(vault.body(note.id), words) : vault.excerpt(note.id)
    const scan = vault.scan(note.id)
    const folder = vault.folder(note.folder)?.name
    const tasks = scan && scan.tasks > 0 ? `${scan.tasksDone}/${scan.tasks}` : undefined
    const meta = h(
      "div",
      { class: "row-meta" },
      h("time", {}, when(order === "created" ? note.created : note.updated)),
      folder !== undefined && h("span", {}, icon("folder"), folder),
      tasks !== undefined && h("span", {}, icon("task"), tasks),
    )
    return h(
      "div",
      { class: "row", role: "option", id: `note-${note.id}`, "data-note": note.id, draggable: String(!vault.isReadOnly) },
      title,
      h("div", { class: "row-text" }, ...(text ? marked(text, words) : ["No text yet"])),
      meta,
    )
  }

  #click(event: MouseEvent): void {
    const id = noteAt(event)
    if (id === undefined) return
    this.app.go({ note: id })
    this.doing.onOpen()
  }

  #contextMenu(event: MouseEvent): void {
    const id = noteAt(event)
    const row = this.#elements.get(id ?? "")
    if (id === undefined || !row) return
    event.preventDefault()
    this.doing.onNoteMenu(id, row)
  }

  #drag(event: DragEvent): void {
    const id = noteAt(event)
    if (id !== undefined) event.dataTransfer?.setData(DRAGGED, id)
  }

  #key(event: KeyboardEvent): void {
    const { note } = this.app.place
    if (event.altKey || event.ctrlKey || event.metaKey) return
    if (event.key === "ArrowDown") this.step(1)
    else if (event.key === "ArrowUp") this.step(-1)
    else if (event.key === "Home") this.#goToFirst()
    else if (event.key === "End") this.#goTo(this.#shown.at(-1))
    else if (event.key === "Enter" && note !== undefined) this.doing.onOpen()
    else if ((event.key === "Delete" || event.key === "Backspace") && note !== undefined && !event.repeat) this.#trash(note)
    else return
    event.preventDefault()
  }

  #goToFirst(): void {
    this.#paint.now()
    this.#goTo(this.#shown[0])
  }

  #goTo(id: string | undefined): void {
    if (id === undefined) return
    this.app.go({ note: id }, "replace")
    this.#reveal(id)
  }

  #trash(id: string): void {
    if (this.app.vault.isReadOnly || this.app.vault.note(id)?.trashed !== undefined) return
    const next = this.after(id)
    // What is open need not be listed, and nobody throws away what they do not see.
    if (!this.#shown.includes(id)) return
    this.app.trash([id])
    this.#goTo(next)
  }

  #searchKey(event: KeyboardEvent): void {
    if (event.isComposing) return
    if (event.key === "Escape") {
      event.preventDefault()
      if (this.#search.value) this.clearSearch()
      else this.#rows.focus()
    } else if (event.key === "Enter") {
      event.preventDefault()
      this.#withAnswer(() => {
        this.#goToFirst()
        if (this.#shown.length > 0) this.doing.onOpen()
      })
    } else if (event.key === "ArrowDown") {
      event.preventDefault()
      this.#withAnswer(() => {
        this.#paint.now()
        if (!this.#shown.includes(this.app.place.note ?? "")) this.#goToFirst()
        this.#rows.focus()
      })
    }
  }

  #reveal(id: string): void {
    this.#placeRows()
    const placed = this.#placed.find(({ row }) => row.kind === "note" && row.note.id === id)
    if (!placed) return
    const { scrollTop, clientHeight } = this.#scroller
    if (placed.top < scrollTop + LABEL_HEIGHT) this.#scrollTo(placed.top - LABEL_HEIGHT)
    else if (placed.top + NOTE_HEIGHT > scrollTop + clientHeight) this.#scrollTo(placed.top + NOTE_HEIGHT - clientHeight + 8)
  }

  async #deleteTrash(): Promise<void> {
    const { vault } = this.app
    const isTrashed = (id: string) => vault.note(id)?.trashed !== undefined
    const ids = [...vault.notes.keys()].filter(isTrashed)
    if (await confirm("Empty the trash?", `${ids.length} notes are deleted for everybody.`, "Delete forever"))
      // Somebody may have taken one back meanwhile.
      vault.deleteForever(ids.filter(isTrashed))
  }
}

function sortMenu(anchor: HTMLElement): void {
  const item = (order: "updated" | "created" | "title", label: string) => ({
    label,
    isChecked: settings().order === order,
    run: () => choose({ order }),
  })
  openMenu(anchor, "Sort by", [item("updated", "Last edited"), item("created", "Created"), item("title", "Title")])
}

function labelElement(label: string): HTMLElement {
  return h("div", { class: "row-label", role: "presentation" }, label)
}

function noteAt(event: Event): string | undefined {
  return (event.target as Element).closest<HTMLElement>("[data-note]")?.dataset.note
}

const isTagWithin = (tag: string, wanted: string) => tag === wanted || tag.startsWith(`${wanted}/`)

/** The first row that ends below a place. */
function firstBelow(placed: readonly Placed[], y: number): number {
  let [low, high] = [0, placed.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((placed[middle] as Placed).top + NOTE_HEIGHT < y) low = middle + 1
    else high = middle
  }
  return low
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" })
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" })

/** A moment as short as it can be told. */
export function when(time: number, now = Date.now()): string {
  const period = periodOf(time, now)
  if (period === "Today") return clock.format(time)
  if (period === "Yesterday") return period
  return period === "Previous 7 days" ? weekday.format(time) : day.format(time)
}

/** A text with the words in it marked that were searched. */
function marked(text: string, words: readonly string[]): (Node | string)[] {
  if (words.length === 0) return [text]
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(escape).join("|")})`, "giu")
  const parts: (Node | string)[] = []
  let from = 0
  for (const found of text.matchAll(pattern)) {
    parts.push(text.slice(from, found.index), h("mark", {}, found[0]))
    from = found.index + found[0].length
  }
  return [...parts, text.slice(from)]
}

const escape = (word: string) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** The line in which a word was found, from a little before it. */
function around(body: string, words: readonly string[]): string {
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(escape).join("|")})`, "iu")
  const at = body.search(pattern)
  const from = Math.max(body.lastIndexOf("\n", at) + 1, at - 40)
  const text = body
    .slice(Math.max(0, from), from + 240)
    .split("\n")
    .map(plain)
    .join(" ")
    .trim()
  return at - 40 > body.lastIndexOf("\n", at) + 1 ? `…${text}` : text
}
