import { ALL, type App } from "../app.js"
import type { Command } from "../commands.js"
import { titleOf } from "../model/vault.js"
import { fill as fillTemplate } from "../notes/templates.js"
import { onChosen, settings, choose } from "../settings.js"
import { ACTION_KEYS, type Action } from "./editor.js"
import { h, isNarrow, setText } from "./dom.js"
import { droppedBy, hasFiles, type Dropped } from "./drops.js"
import type { GraphView } from "./graph.js"
import { List } from "./list.js"
import { openMenu, type MenuItem } from "./menu.js"
import { NoteView } from "./note.js"
import { openPalette } from "./palette.js"
import { hideSidebar, Sidebar } from "./sidebar.js"
import { banners, READ_ONLY, showStatus } from "./status.js"
import { toast } from "./toast.js"
import { foundVault, nameOf, shareVault, showGone, vaultMenu, askForLink } from "./vaults.js"

/** Of a phone one pane is seen. */
type Pane = "sidebar" | "list" | "note"

const TEXT_ACTIONS: readonly (readonly [Action, string])[] = [
  ["bold", "Strong"],
  ["italic", "Emphasis"],
  ["strike", "Struck out"],
  ["highlight", "Marked"],
  ["code", "Code"],
  ["link", "Link"],
  ["heading", "Heading"],
  ["list", "List"],
  ["numbered", "Numbered list"],
  ["task", "Tick a task"],
  ["quote", "Quote"],
  ["up", "Move line up"],
  ["down", "Move line down"],
]

/** All panes, what can be done in them, and the keys for it. */
export class Desk {
  readonly #sidebar: Sidebar
  readonly #list: List
  readonly #note: NoteView
  /** Loaded when somebody looks at it. */
  #graph: GraphView | undefined
  #isGraphSeen = false
  readonly #graphDoing: GraphView["doing"]
  readonly #work: HTMLElement
  /** What the page is about, for who does not see it. */
  readonly #heading = h("h1", { class: "visually-hidden" }, "Notes")
  readonly #panes = h("div", { class: "panes", "data-pane": "list" })
  readonly elements: readonly HTMLElement[]
  readonly commands: readonly Command[]

  constructor(readonly app: App) {
    const showSidebar = () => (isNarrow() ? this.#show("sidebar") : hideSidebar())
    this.#sidebar = new Sidebar(app, {
      onVaults: anchor => this.#vaultMenu(anchor),
      onSettings: () => this.#preferences(),
      onStatus: () => showStatus(app),
      onGone: () => this.#show(app.place.scope.kind === "graph" || app.place.note !== undefined ? "note" : "list", "list"),
    })
    this.#list = new List(app, {
      onNew: () => this.#new(),
      onMenu: showSidebar,
      onOpen: () => (this.#show("note"), isNarrow() || this.#note.focus("page")),
      onNoteMenu: (id, anchor) => openMenu(anchor, "Note", this.#noteItems(id)),
    })
    const back = () => this.#back()
    this.#note = new NoteView(app, {
      onBack: back,
      onMenu: showSidebar,
      items: id => this.#noteItems(id),
      onTitle: title => {
        document.title = title
        setText(this.#heading, title)
      },
    })
    this.#graphDoing = { onBack: back, onMenu: showSidebar }
    this.commands = this.#commands()
    const skip = h(
      "a",
      { class: "skip", href: "#note", onclick: event => (event.preventDefault(), this.#note.focus("page")) },
      "Skip to the note",
    )
    this.#work = h("main", { class: "work" }, this.#heading, this.#list.element, this.#note.element)
    this.#panes.append(this.#sidebar.element, this.#work)
    this.elements = [skip, banners(app), this.#panes]
    // Until there is a vault there is nothing to do.
    this.#panes.inert = true
    app.onVault(() => (this.#panes.inert = false))
    app.onGone(() => showGone(app, { export: () => this.#export() }))
    app.onPlace(({ scope, note }) => this.#arrived(scope.kind === "graph", note !== undefined))
    onChosen(() => this.#graph?.recolor())
    this.#takeDrops()
  }

  #arrived(isGraph: boolean, hasNote: boolean): void {
    const isGraphSeen = isGraph && !hasNote
    this.#isGraphSeen = isGraphSeen
    if (isGraphSeen && !this.#graph) void this.#lazily(() => this.#loadGraph())
    this.#graph?.show(isGraphSeen)
    this.#note.element.hidden = isGraphSeen
    if (isGraphSeen || hasNote) this.#show("note")
    else if (this.#panes.dataset["pane"] === "note") this.#show("list")
  }

  async #loadGraph(): Promise<void> {
    const { GraphView } = await import("./graph.js")
    if (!this.#graph) {
      this.#graph = new GraphView(this.app, this.#graphDoing)
      this.#work.append(this.#graph.element)
    }
    this.#graph.show(this.#isGraphSeen)
  }

  #show(pane: Pane, unlessNarrow?: Pane): void {
    this.#panes.dataset["pane"] = unlessNarrow && isNarrow() ? unlessNarrow : pane
  }

  #back(): void {
    this.#show("list")
    this.app.go({ note: undefined, ...(this.app.place.scope.kind === "graph" ? { scope: ALL } : {}) })
  }

  #new(): void {
    const { scope } = this.app.place
    const { vault } = this.app
    const id = vault.create({
      ...(scope.kind === "folder" ? { folder: scope.value } : {}),
      ...(scope.kind === "tag" ? { tags: [scope.value] } : {}),
      ...(scope.kind === "templates" ? { isTemplate: true } : {}),
    })
    if (scope.kind === "trash" || scope.kind === "graph") this.app.go({ scope: ALL })
    this.#list.clearSearch()
    if (settings().isReading) choose({ isReading: false })
    this.app.go({ note: id })
    this.#note.focus("title")
  }

  #today(): void {
    if (this.app.showToday()) this.#note.focus("text")
  }

  #noteItems(id: string): readonly (MenuItem | undefined)[] {
    const { app } = this
    const { vault } = app
    const note = vault.note(id)
    if (!note) return []
    if (vault.isReadOnly) return this.#readingItems(id)
    if (note.trashed !== undefined) {
      return [
        { label: "Restore", icon: "back", run: () => (vault.restore([id]), toast("The note is back.")) },
        { label: "Delete forever", icon: "trash", isDanger: true, run: () => void app.deleteForever(id) },
      ]
    }
    return [
      { label: note.isPinned ? "Unpin" : "Pin", icon: "pin", run: () => vault.pin([id], !note.isPinned) },
      { label: "Move to a folder", icon: "folder", run: () => (app.show(id), this.#note.folderMenu(document.body)) },
      { label: "Duplicate", icon: "notes", run: () => this.#duplicate(id) },
      {
        label: note.isTemplate ? "Make it a note" : "Make it a template",
        icon: "template",
        run: () => vault.makeTemplate([id], !note.isTemplate),
      },
      { label: "Begin with a template", icon: "plus", run: () => (app.show(id), this.#templateMenu(document.body)) },
      undefined,
      ...this.#readingItems(id),
      undefined,
      { label: "Move to the trash", icon: "trash", isDanger: true, run: () => this.#trash(id) },
    ]
  }

  /** What can be done with a note by who only reads. */
  #readingItems(id: string): readonly MenuItem[] {
    const { app } = this
    return [
      { label: "History", icon: "history", run: () => void this.#history(id) },
      { label: "Copy a link", icon: "link", run: () => void copy(`[[${titleOf(app.vault.note(id))}]]`) },
      {
        label: "Export as Markdown",
        icon: "share",
        run: () => void this.#lazily(async () => (await import("./files.js")).exportNote(app, id)),
      },
    ]
  }

  #trash(id: string): void {
    const next = this.#list.after(id)
    const isOpen = this.app.place.note === id
    this.app.trash([id])
    if (isOpen && next !== undefined && !isNarrow()) this.app.go({ note: next }, "replace")
  }

  #duplicate(id: string): void {
    const { vault } = this.app
    const note = vault.note(id)
    if (!note) return
    const { title, folder, tags, isTemplate } = note
    this.app.show(vault.create({ title: title && `${title} (copy)`, folder, tags, isTemplate, body: vault.body(id) }))
  }

  #templateMenu(anchor: HTMLElement): void {
    const { vault } = this.app
    const templates = [...vault.notes.values()].filter(note => note.isTemplate && note.trashed === undefined)
    if (templates.length === 0) return toast("There are no templates yet: a note becomes one in its menu.")
    const use = (id: string) => {
      const { text, caret } = fillTemplate(vault.body(id), {
        title: vault.note(this.#note.id ?? "")?.title ?? "",
        now: new Date(),
      })
      this.#note.insert(text, caret)
    }
    openMenu(
      anchor,
      "Templates",
      templates.map(note => ({ label: titleOf(note), icon: "template" as const, run: () => use(note.id) })),
    )
  }

  async #history(id: string): Promise<void> {
    await this.#lazily(async () =>
      (await import("./history.js")).showHistory(this.app, id, text => (this.app.show(id), this.#note.rewrite(text))),
    )
  }

  #vaultMenu(anchor: HTMLElement): void {
    const doing = { share: () => shareVault(this.app), import: () => this.#import(), export: () => this.#export() }
    void this.#lazily(() => vaultMenu(this.app, anchor, doing))
  }

  #import(given: readonly Dropped[] = []): void {
    if (this.app.vault.isReadOnly) return toast(READ_ONLY)
    void this.#lazily(async () => (await import("./files.js")).importNotes(this.app, given))
  }

  #export(): void {
    void this.#lazily(async () => (await import("./files.js")).exportNotes(this.app))
  }

  #inspector(): void {
    void this.#lazily(async () => (await import("./inspector.js")).toggleInspector(this.app, nameOf))
  }

  #preferences(): void {
    void this.#lazily(async () => (await import("./preferences.js")).showPreferences(this.app))
  }

  #keys(): void {
    void this.#lazily(async () => (await import("./preferences.js")).showKeys(this.commands))
  }

  /** What is seldom needed is loaded when it is. */
  #lazily(run: () => Promise<unknown>): Promise<unknown> {
    return this.app.attempt("That", run)
  }

  /** Files that are dropped on the app are imported. Where nobody takes them, as beside a dialog, the browser must not leave the app for them. */
  #takeDrops(): void {
    for (const type of ["dragover", "drop"] as const)
      window.addEventListener(type, event => hasFiles(event) && event.preventDefault())
    this.#panes.addEventListener("drop", event => {
      if (hasFiles(event) && this.app.hasVault) this.#import(droppedBy(event))
    })
  }

  #undo(way: "undo" | "redo"): void {
    if (!this.app.vault.doc[way]()) toast(way === "undo" ? "There is nothing to undo." : "There is nothing to redo.")
    else toast(way === "undo" ? "Undone." : "Done again.")
  }

  #commands(): Command[] {
    const { app } = this
    const hasNote = () => this.#note.id !== undefined
    const withNote = (run: (id: string) => void) => () => this.#note.id !== undefined && run(this.#note.id)
    const body = document.body
    const text = TEXT_ACTIONS.map(([action, title]): Command => ({
      id: action,
      title,
      group: "Text",
      keys: ACTION_KEYS[action],
      isOfEditor: true,
      isWriting: true,
      isPossible: hasNote,
      run: () => this.#note.act(action),
    }))
    const all: Command[] = [
      {
        id: "find",
        title: "Find a note or a command",
        group: "Go to",
        icon: "search",
        keys: "Mod+k",
        run: () => openPalette(app, this.commands),
      },
      {
        id: "commands",
        title: "All commands",
        group: "Go to",
        keys: "Mod+Shift+p",
        run: () => openPalette(app, this.commands, "> "),
      },
      {
        id: "search",
        title: "Search in texts",
        group: "Go to",
        icon: "search",
        keys: "/",
        run: () => (this.#show("list"), this.#list.focusSearch()),
      },
      { id: "all", title: "All notes", group: "Go to", icon: "notes", keys: "g a", run: () => app.go({ scope: ALL }) },
      { id: "today", title: "Today", group: "Go to", icon: "day", keys: "g d", run: () => this.#today() },
      {
        id: "graph",
        title: "Graph",
        group: "Go to",
        icon: "graph",
        keys: "g g",
        run: () => app.go({ scope: { kind: "graph", value: "" }, note: undefined }),
      },
      {
        id: "templates",
        title: "Templates",
        group: "Go to",
        icon: "template",
        keys: "g p",
        run: () => app.go({ scope: { kind: "templates", value: "" } }),
      },
      {
        id: "trash-list",
        title: "Trash",
        group: "Go to",
        icon: "trash",
        keys: "g t",
        run: () => app.go({ scope: { kind: "trash", value: "" } }),
      },
      { id: "next", title: "Next note", group: "Go to", keys: "j", run: () => this.#list.step(1) },
      { id: "previous", title: "Previous note", group: "Go to", keys: "k", run: () => this.#list.step(-1) },
      { id: "list", title: "To the list", group: "Go to", keys: "g l", run: () => (this.#show("list"), this.#list.focus()) },
      { id: "new", title: "New note", group: "Notes", isWriting: true, icon: "plus", keys: "n", run: () => this.#new() },
      {
        id: "new-anywhere",
        title: "New note, also while writing",
        group: "Notes",
        isWriting: true,
        icon: "plus",
        keys: "Mod+Alt+n",
        run: () => this.#new(),
      },
      {
        id: "write",
        title: "Write in the note",
        group: "Notes",
        isWriting: true,
        icon: "edit",
        keys: "e",
        isPossible: hasNote,
        run: () => this.#note.focus("text"),
      },
      {
        id: "rename",
        title: "Change the title",
        group: "Notes",
        isWriting: true,
        keys: "t",
        isPossible: hasNote,
        run: () => this.#note.focus("title"),
      },
      {
        id: "pin",
        title: "Pin or unpin",
        group: "Notes",
        isWriting: true,
        icon: "pin",
        keys: "p",
        isPossible: hasNote,
        run: () => this.#note.togglePin(),
      },
      {
        id: "move",
        title: "Move to a folder",
        group: "Notes",
        isWriting: true,
        icon: "folder",
        keys: "m",
        isPossible: hasNote,
        run: () => this.#note.folderMenu(body),
      },
      {
        id: "template",
        title: "Insert a template",
        group: "Notes",
        isWriting: true,
        icon: "template",
        isPossible: hasNote,
        run: () => this.#templateMenu(body),
      },
      {
        id: "history",
        title: "History",
        group: "Notes",
        icon: "history",
        keys: "h",
        isPossible: hasNote,
        run: withNote(id => void this.#history(id)),
      },
      {
        id: "trash",
        title: "Move to the trash",
        group: "Notes",
        isWriting: true,
        icon: "trash",
        keys: "Mod+Backspace",
        isOutsideTexts: true,
        isOnce: true,
        isPossible: hasNote,
        run: withNote(id => this.#trash(id)),
      },
      {
        id: "folder",
        title: "New folder",
        group: "Notes",
        isWriting: true,
        icon: "folder",
        run: () => void this.#sidebar.newFolder(),
      },
      {
        id: "undo",
        title: "Undo what was done to notes",
        group: "Notes",
        isWriting: true,
        keys: "Mod+z",
        isOutsideTexts: true,
        run: () => this.#undo("undo"),
      },
      {
        id: "redo",
        title: "Do it again",
        group: "Notes",
        isWriting: true,
        keys: "Mod+Shift+z",
        isOutsideTexts: true,
        run: () => this.#undo("redo"),
      },
      ...text,
      {
        id: "read",
        title: "Read or write",
        group: "View",
        isWriting: true,
        icon: "read",
        keys: "Mod+e",
        isPossible: hasNote,
        run: () => this.#note.toggleReading(),
      },
      {
        id: "panel",
        title: "Links and outline",
        group: "View",
        icon: "info",
        keys: "Mod+Shift+l",
        run: () => choose({ isPanelShown: !settings().isPanelShown }),
      },
      { id: "sidebar", title: "Show or hide the sidebar", group: "View", icon: "sidebar", keys: "Mod+\\", run: hideSidebar },
      { id: "dark", title: "Light or dark", group: "View", run: () => choose({ theme: isDark() ? "light" : "dark" }) },
      { id: "keys", title: "All keys", group: "View", keys: "?", run: () => this.#keys() },
      { id: "settings", title: "Settings", group: "View", icon: "settings", keys: "Mod+,", run: () => this.#preferences() },
      { id: "share", title: "Share this vault", group: "Vault", icon: "people", run: () => shareVault(app) },
      { id: "vault", title: "New vault", group: "Vault", icon: "plus", run: () => foundVault(app) },
      { id: "join", title: "Join a vault with a link", group: "Vault", icon: "link", run: () => void askForLink(app) },
      { id: "import", title: "Import notes", group: "Vault", isWriting: true, icon: "folder", run: () => this.#import() },
      { id: "export", title: "Export notes", group: "Vault", icon: "share", run: () => this.#export() },
      { id: "status", title: "How it stands", group: "Vault", icon: "cloud", run: () => showStatus(app) },
      { id: "inspector", title: "Inspector", group: "Vault", icon: "info", run: () => this.#inspector() },
    ]
    const isAllowed = ({ isWriting = false }: Command) => app.hasVault && !(isWriting && app.vault.isReadOnly)
    return all.map(command => ({ ...command, isPossible: app => isAllowed(command) && (command.isPossible?.(app) ?? true) }))
  }
}

function isDark(): boolean {
  const { theme } = settings()
  return theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches)
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
    toast("Copied.")
  } catch {
    toast("The browser did not allow copying.")
  }
}
