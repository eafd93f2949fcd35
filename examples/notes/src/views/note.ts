import { reasonOf, type App } from "../app.js"
import { isListed, titleOf, type Note } from "../model/vault.js"
import { openBody, type OpenBody } from "../model/open-body.js"
import { rank } from "../notes/fuzzy.js"
import { keyOf } from "../notes/names.js"
import { choose, onChosen, settings } from "../settings.js"
import type { Wanted } from "../text/completion.js"
import { Editor, ACTION_KEYS, type Action } from "./editor.js"
import { fill, h, icon, iconButton, onceAFrame, watchPress, whenQuiet } from "./dom.js"
import type { IconName } from "./icons.js"
import { keysLabel } from "../commands.js"
import { openMenu, type MenuItem } from "./menu.js"
import { Panel } from "./panel.js"
import { People } from "./people.js"
import { toast } from "./toast.js"

/** A title is written when nobody types on. */
const TITLE_MS = 800
const SUGGESTED = 8

const BUTTONS: readonly (readonly [Action, IconName, string])[] = [
  ["heading", "heading", "Heading"],
  ["bold", "bold", "Bold"],
  ["italic", "italic", "Italic"],
  ["link", "link", "Link"],
  ["list", "list", "List"],
  ["numbered", "numbered", "Numbered list"],
  ["task", "task", "Task"],
  ["quote", "quote", "Quote"],
  ["code", "code", "Code"],
]

/** The note that is looked at: to be written, or to be read. */
export class NoteView {
  readonly #title = h("input", {
    class: "title",
    type: "text",
    placeholder: "Untitled",
    "aria-label": "Title",
    maxlength: 300,
    autocomplete: "off",
  })
  readonly #tags = h("div", { class: "note-tags" })
  readonly #trashed = h("div", { class: "banner", hidden: true })
  readonly #page = h("article", { class: "page", hidden: true, tabindex: "-1" })
  readonly #press = watchPress(this.#page, "a, input, summary", () => this.#paint())
  readonly #tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Format" })
  readonly #mode = iconButton("read", "Read", { onclick: () => this.toggleReading() })
  readonly #pin = iconButton("pin", "Pin", { onclick: () => this.togglePin() })
  readonly #panelButton = iconButton("info", "Links and outline", {
    onclick: () => choose({ isPanelShown: !settings().isPanelShown }),
  })
  readonly #more = iconButton("more", "More", { "aria-haspopup": "menu", onclick: () => this.menu(this.#more) })
  readonly #editor: Editor
  readonly #panel: Panel
  readonly #people: People
  readonly #scroller: HTMLElement
  readonly #empty: HTMLElement
  readonly #whole: HTMLElement
  readonly element: HTMLElement
  readonly #titleTyped = whenQuiet(TITLE_MS, () => this.#writeTitle())
  readonly #paint = onceAFrame(() => this.#repaint())
  #id: string | undefined
  #body: OpenBody | undefined
  #isReading = false
  /** The title that links are by, while this person writes another one. */
  #titleBefore: string | undefined
  /** What the tags were made of. */
  #tagsShown = ""

  constructor(
    readonly app: App,
    readonly doing: {
      onBack(): void
      onMenu(): void
      items(id: string): readonly (MenuItem | undefined)[]
      onTitle(title: string): void
    },
  ) {
    this.#editor = new Editor({
      suggest: wanted => this.#suggest(wanted),
      onTyped: () => this.#typed(),
      onCaret: caret => this.#people.show(this.#id, caret),
    })
    this.#people = new People(app, carets => this.#editor.showCarets(carets))
    this.#panel = new Panel(app, {
      outline: () => this.#body?.text.toString() ?? "",
      onHeading: (line, index) => this.#goToHeading(line, index),
    })
    fill(this.#tools, ...BUTTONS.map(([action, picture, label]) => this.#tool(action, picture, label)))
    rove(this.#tools)
    const back = iconButton("back", "Back to the list", { class: "icon-button back", onclick: doing.onBack })
    const menu = iconButton("sidebar", "Show the sidebar", { class: "icon-button show-sidebar", onclick: doing.onMenu })
    const head = h(
      "header",
      {},
      back,
      menu,
      this.#people.element,
      h("span", { class: "space" }),
      this.#mode,
      this.#pin,
      this.#panelButton,
      this.#more,
    )
    const sheet = h("div", { class: "sheet" }, this.#trashed, this.#title, this.#tags, this.#editor.element, this.#page)
    this.#scroller = h(
      "div",
      { class: "scroll", onclick: event => event.target === this.#scroller && this.#editor.focus() },
      sheet,
    )
    this.#whole = h(
      "div",
      { class: "whole", hidden: true },
      head,
      this.#tools,
      h("div", { class: "beside" }, this.#scroller, this.#panel.element),
    )
    this.#empty = this.#nothing()
    this.element = h("section", { class: "note", id: "note", "aria-label": "Note" }, this.#whole, this.#empty)
    this.#title.addEventListener("input", () => {
      this.#titleBefore ??= this.#note()?.title
      this.#titleTyped()
    })
    this.#title.addEventListener("blur", () => this.#endTitle())
    window.addEventListener("pagehide", () => this.#endTitle())
    this.#title.addEventListener("keydown", event => this.#titleKey(event))
    this.#page.addEventListener("click", event => this.#clickPage(event))
    app.flushes.add(() => this.#flush())
    app.onPlace(({ note }) => this.#open(note))
    app.onVault(change => {
      if (!change) this.#open(undefined)
      else if (this.#id !== undefined && (change.notes.has(this.#id) || change.isLinks)) this.#paint()
      // A note may come after its address.
      else if (this.#id === undefined && change.notes.has(app.place.note ?? "")) this.#open(app.place.note)
    })
    onChosen(this.#paint)
  }

  get id(): string | undefined {
    return this.#id
  }

  /** Has the person write on. */
  focus(where: "title" | "text" | "page"): void {
    if (where === "title") this.#title.focus()
    else if (where === "page" && this.#isReading) this.#page.focus()
    else if (this.#isReading) this.toggleReading()
    else this.#editor.focus()
  }

  focusText(caret: number | undefined): void {
    this.#editor.focus(caret)
  }

  act(action: Action): void {
    if (!this.#isReading) this.#editor.act(action)
  }

  /** Takes a former text, which can be taken back. */
  rewrite(text: string): void {
    this.#editor.rewrite(text)
    this.#paint()
  }

  insert(text: string, caret: number | undefined): void {
    const { value } = this.#editor
    const at = value.length
    const gap = value === "" || value.endsWith("\n") ? "" : "\n"
    const end = at + gap.length + (caret ?? text.length)
    this.#editor.edit({ from: at, to: at, insert: gap + text, start: end, end })
    this.#editor.focus(end)
  }

  toggleReading(): void {
    choose({ isReading: !this.#isReading })
    this.#repaint()
    if (this.#isReading) this.#page.focus()
    else this.#editor.focus()
  }

  togglePin(): void {
    const note = this.#note()
    if (note) this.app.vault.pin([note.id], !note.isPinned)
  }

  menu(anchor: HTMLElement): void {
    if (this.#id !== undefined) openMenu(anchor, "Note", this.doing.items(this.#id))
  }

  #note(): Note | undefined {
    return this.#id === undefined || !this.app.hasVault ? undefined : this.app.vault.note(this.#id)
  }

  /** Whether it can only be read. */
  #isLocked(note: Note | undefined): boolean {
    return note?.trashed !== undefined || this.app.vault.isReadOnly
  }

  #open(id: string | undefined): void {
    if (id === this.#id) return
    this.#endTitle()
    this.#titleBefore = undefined
    this.#flush()
    this.#body?.close()
    this.#body = undefined
    const row = id === undefined ? undefined : this.app.vault.row(id)
    this.#id = row && id
    if (row)
      this.#body = openBody(
        row.body,
        () => this.#bind(),
        () => this.#paint(),
        why => toast(`What was typed could not be written: ${reasonOf(why)}.`),
      )
    this.#bind()
    this.#title.value = row?.title ?? ""
    this.#people.show(this.#id, undefined)
    this.#scroller.scrollTop = 0
    this.#repaint()
  }

  #typed(): void {
    if (this.#id !== undefined) this.app.vault.touch(this.#id)
    this.app.wrote()
  }

  #bind(): void {
    this.#editor.bind(this.#body?.text)
  }

  #flush(): void {
    this.#titleTyped.now()
    this.#body?.flush()
  }

  #repaint(): void {
    const note = this.#note()
    this.#whole.hidden = !note
    this.#empty.hidden = note !== undefined
    const { hasVault } = this.app
    const vault = hasVault ? this.app.vault.name : "Notes"
    this.doing.onTitle(note ? `${titleOf(note)} – ${vault}` : vault)
    if (!note) return
    const isLocked = this.#isLocked(note)
    this.#isReading = isLocked || settings().isReading
    if (document.activeElement !== this.#title && this.#title.value !== note.title) this.#title.value = note.title
    this.#title.readOnly = isLocked
    this.#editor.isReadOnly = isLocked
    this.#editor.element.hidden = this.#isReading
    this.#page.hidden = !this.#isReading
    this.#tools.hidden = this.#isReading
    this.#mode.hidden = isLocked
    this.#pin.hidden = this.app.vault.isReadOnly
    describe(this.#mode, this.#isReading ? "edit" : "read", this.#isReading ? "Edit" : "Read")
    this.#pin.setAttribute("aria-pressed", String(note.isPinned))
    describe(this.#pin, "pin", note.isPinned ? "Unpin" : "Pin")
    this.#panelButton.setAttribute("aria-pressed", String(settings().isPanelShown))
    this.#showTrashed(note)
    this.#showTags(note)
    this.#panel.show(note, settings().isPanelShown)
    if (this.#isReading) void this.app.attempt("Reading", () => this.#read())
  }

  async #read(): Promise<void> {
    const { render } = await import("./read.js")
    const text = this.#body?.text.toString() ?? ""
    if (!this.#isReading || this.#press.element) return
    fill(
      this.#page,
      render(text, title => this.app.vault.resolve(title) !== undefined, !this.#isLocked(this.#note())),
    )
    if (text.trim() === "") fill(this.#page, h("p", { class: "quiet" }, "Nothing written yet."))
  }

  #showTrashed(note: Note): void {
    this.#trashed.hidden = note.trashed === undefined
    if (note.trashed === undefined) return
    const { vault } = this.app
    const restore = () => (vault.restore([note.id]), this.app.show(note.id))
    const forever = () => void this.app.deleteForever(note.id)
    const button = (label: string, run: () => void) => h("button", { type: "button", class: "button", onclick: run }, label)
    fill(
      this.#trashed,
      icon("trash"),
      h("span", {}, "This note is in the trash."),
      !vault.isReadOnly && [button("Restore", restore), button("Delete forever", forever)],
    )
  }

  #showTags(note: Note): void {
    const hadFocus = this.#tags.contains(document.activeElement)
    const isTyping = hadFocus && document.activeElement instanceof HTMLInputElement && document.activeElement.value !== ""
    if (isTyping) return
    const { vault } = this.app
    const isLocked = this.#isLocked(note)
    const inText = vault.tags(note.id).filter(tag => !note.tags.includes(tag))
    const folder = vault.folder(note.folder)
    // Whoever types a text has it written down five times a second, and its tags are mostly the same.
    const shown = JSON.stringify([note.id, note.tags, inText, folder?.name, isLocked])
    if (shown === this.#tagsShown) return
    this.#tagsShown = shown
    const own = note.tags.map(tag => this.#tag(tag, isLocked ? undefined : () => vault.removeTag(note.id, tag)))
    const move = h(
      "button",
      { type: "button", class: "chip quiet", "aria-haspopup": "menu", onclick: () => this.folderMenu(move) },
      icon("folder"),
      folder?.name ?? "No folder",
    )
    const add = h("input", {
      type: "text",
      class: "add-tag",
      placeholder: "Add tag",
      "aria-label": "Add a tag",
      autocomplete: "off",
      list: "all-tags",
      maxlength: 64,
    })
    add.addEventListener("keydown", event => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== ",")) return
      event.preventDefault()
      const { value } = add
      add.value = ""
      vault.addTag(note.id, value)
    })
    add.addEventListener("focus", () => this.#tagNames(add))
    fill(
      this.#tags,
      isLocked ? folder && h("span", { class: "chip quiet" }, icon("folder"), folder.name) : move,
      ...own,
      ...inText.map(tag => this.#tag(tag)),
      !isLocked && add,
    )
    if (hadFocus) add.focus()
  }

  #tag(tag: string, remove?: () => void): HTMLElement {
    const go = h("button", { type: "button", onclick: () => this.app.go({ scope: { kind: "tag", value: tag } }) }, `#${tag}`)
    const away = remove && iconButton("close", `Remove the tag ${tag}`, { onclick: remove })
    return h("span", { class: remove ? "chip own" : "chip" }, go, away)
  }

  /** Tags that are there already, offered while one is typed. */
  #tagNames(input: HTMLInputElement): void {
    const names = [...this.app.vault.tagCounts().keys()].slice(0, 200)
    const list = h("datalist", { id: "all-tags" }, ...names.map(value => h("option", { value })))
    input.parentElement?.querySelector("datalist")?.remove()
    input.after(list)
  }

  folderMenu(anchor: HTMLElement): void {
    const note = this.#note()
    if (!note) return
    const { vault } = this.app
    const item = (id: string, label: string): MenuItem => ({
      label,
      isChecked: note.folder === id,
      run: () => vault.move([note.id], id),
    })
    openMenu(anchor, "Move to", [item("", "No folder"), ...vault.folders.map(({ id, path }) => item(id, path.join(" / ")))])
  }

  #titleKey(event: KeyboardEvent): void {
    const { selectionStart, value } = this.#title
    const isAtEnd = selectionStart === value.length
    if (
      event.isComposing ||
      (event.key !== "Enter" && event.key !== "ArrowDown" && !(event.key === "ArrowRight" && isAtEnd && value === ""))
    )
      return
    event.preventDefault()
    this.#endTitle()
    this.focus(this.#isReading ? "page" : "text")
  }

  #writeTitle(): void {
    const note = this.#note()
    if (note && !this.#isLocked(note)) this.app.vault.retitle(note.id, this.#title.value)
  }

  /** Somebody is done with the title: links follow it, if they can. */
  #endTitle(): void {
    this.#titleTyped.now()
    this.#paint()
    const note = this.#note()
    if (this.#titleBefore === undefined || !note || this.#isLocked(note)) return
    const count = this.app.vault.rename(note.id, note.title, this.#titleBefore)
    // An empty title, for instance, is not the last.
    if (count !== undefined) this.#titleBefore = undefined
    if (count) toast(`${count} ${count === 1 ? "note links" : "notes link"} to the new title`)
  }

  #suggest({ kind, query }: Wanted): readonly string[] {
    const { vault } = this.app
    if (kind === "tag") {
      const tags = [...vault.tagCounts()].sort((a, b) => b[1] - a[1]).map(([tag]) => tag)
      return rank(query, tags, tag => tag, SUGGESTED).filter(tag => tag !== query.toLowerCase())
    }
    const others = [...vault.notes.values()].filter(note => isListed(note) && note.id !== this.#id && note.title.trim() !== "")
    const recent = query ? others : others.sort((a, b) => b.updated - a.updated)
    const titles = rank(query, recent, note => note.title, SUGGESTED).map(note => note.title)
    const isNew = query.trim() !== "" && !titles.some(title => keyOf(title) === keyOf(query))
    return isNew ? [...titles, query.trim()] : titles
  }

  #goToHeading(line: number, index: number): void {
    if (!this.#isReading) return this.#editor.showLine(line)
    const heading = this.#page.querySelectorAll<HTMLElement>("h2, h3, h4, h5, h6")[index]
    heading?.scrollIntoView({ block: "start" })
  }

  #clickPage(event: MouseEvent): void {
    const target = (event.target as Element).closest<HTMLElement>("[data-note], [data-tag], [data-task]")
    if (!target) return
    const { note, tag, task, heading } = target.dataset
    if (task !== undefined) return void this.app.attempt("That", () => this.#tick(Number(task)))
    event.preventDefault()
    if (tag !== undefined) this.app.go({ scope: { kind: "tag", value: tag } })
    else if (note) this.app.showTitle(note)
    if (heading !== undefined) this.#goToNamed(heading)
  }

  /** To a heading by its words, once the note is there. */
  #goToNamed(name: string): void {
    setTimeout(() => {
      const headings = [...this.#page.querySelectorAll<HTMLElement>("h2, h3, h4, h5, h6")]
      headings.find(heading => keyOf(heading.textContent ?? "") === keyOf(name))?.scrollIntoView({ block: "start" })
    }, 100)
  }

  async #tick(number: number): Promise<void> {
    const { toggleTask } = await import("./read.js")
    this.#editor.rewrite(toggleTask(this.#editor.value, number))
    this.#paint()
  }

  #tool(action: Action, picture: IconName, label: string): HTMLElement {
    const press = (event: Event) => event.preventDefault()
    const title = `${label} (${keysLabel(ACTION_KEYS[action])})`
    return iconButton(picture, label, { title, tabindex: "-1", onpointerdown: press, onclick: () => this.act(action) })
  }

  #nothing(): HTMLElement {
    const keys = (keys: string, label: string) => h("li", {}, h("span", {}, label), h("kbd", {}, keysLabel(keys)))
    const list = h(
      "ul",
      {},
      keys("Mod+k", "Find or do anything"),
      keys("n", "New note"),
      keys("g d", "Today"),
      keys("?", "All keys"),
    )
    return h("div", { class: "no-note" }, icon("note"), h("p", {}, "No note is open"), list)
  }
}

function describe(button: HTMLButtonElement, picture: IconName, label: string): void {
  if (button.getAttribute("aria-label") === label) return
  button.setAttribute("aria-label", label)
  button.title = label
  fill(button)
  button.append(icon(picture))
}

/** One Tab stop for a toolbar; arrows go along it. */
function rove(toolbar: HTMLElement): void {
  const buttons = [...toolbar.querySelectorAll("button")]
  buttons[0]?.setAttribute("tabindex", "0")
  toolbar.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement)
    const next = buttons.at((at + step) % buttons.length)
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1
    next?.focus()
    event.preventDefault()
  })
}
