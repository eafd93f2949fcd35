import { ALL, type App, type Scope } from "../app.js"
import { isListed, TRASH_MS, type Vault } from "../model/vault.js"
import { byName, type Branch } from "../notes/order.js"
import { choose, onChosen, settings } from "../settings.js"
import { ask, confirm } from "./dialog.js"
import { fill, h, icon, iconButton, onceAFrame, watchPress } from "./dom.js"
import type { IconName } from "./icons.js"
import { openMenu } from "./menu.js"
import { statusButton } from "./status.js"

/** Tags that are used most are shown; all are found by the search. */
const TAGS_MAX = 60

/** The vault: its folders, its tags, and how it stands. */
export class Sidebar {
  readonly #vaultName = h("span", { class: "vault-name" })
  readonly #nav = h("div", { class: "scroll" })
  readonly element: HTMLElement
  readonly #paint = onceAFrame(() => this.#repaint())
  #shown: Vault | undefined
  readonly #press = watchPress(this.#nav, "button", this.#paint)

  constructor(
    readonly app: App,
    readonly doing: { onVaults(anchor: HTMLElement): void; onSettings(): void; onStatus(): void; onGone(): void },
  ) {
    const vaults = h(
      "button",
      {
        type: "button",
        class: "vault-button",
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        onclick: () => doing.onVaults(vaults),
      },
      this.#vaultName,
      icon("down"),
    )
    const head = h(
      "header",
      {},
      vaults,
      iconButton("sidebar", "Hide the sidebar", { class: "icon-button hide-sidebar", onclick: hideSidebar }),
    )
    const foot = h(
      "footer",
      {},
      statusButton(app, doing.onStatus),
      iconButton("settings", "Settings", { onclick: doing.onSettings }),
    )
    this.element = h("nav", { class: "sidebar", "aria-label": "Vault" }, head, this.#nav, foot)
    app.onPlace(this.#paint)
    onChosen(this.#paint)
    app.onVault(change => (!change || change.isPlaces) && this.#paint())
    this.#paint()
  }

  #repaint(): void {
    if (!this.app.hasVault || this.#press.element) return
    // Of a vault that was just opened the notes come first: there may be thousands to be counted.
    if (this.#shown !== this.app.vault) {
      this.#shown = this.app.vault
      return this.#paint()
    }
    const focused = this.#nav.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : undefined
    const { vault } = this.app
    this.#vaultName.textContent = vault.name
    const counts = this.#counts()
    const newFolder = iconButton("plus", "New folder", { onclick: () => void this.newFolder() })
    fill(
      this.#nav,
      h("ul", {}, ...this.#places(counts)),
      this.#section("Folders", vault.isReadOnly ? undefined : newFolder),
      h("ul", { class: "folders" }, ...this.#folders(counts.folders)),
      ...this.#tags(),
    )
    if (focused) this.#nav.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus()
  }

  #counts() {
    const folders = new Map<string, number>()
    let [all, trash, templates] = [0, 0, 0]
    for (const note of this.app.vault.notes.values()) {
      if (note.trashed !== undefined) trash++
      else if (note.isTemplate) templates++
      else {
        all++
        if (note.folder) folders.set(note.folder, (folders.get(note.folder) ?? 0) + 1)
      }
    }
    return { all, trash, templates, folders }
  }

  #places({ all, trash, templates }: { all: number; trash: number; templates: number }): HTMLElement[] {
    const days = Math.round(TRASH_MS / 86_400_000)
    return [
      this.#line("notes", "All notes", ALL, all),
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "place", "data-key": "today", onclick: () => this.#today() },
          icon("day"),
          h("span", {}, "Today"),
        ),
      ),
      this.#line("graph", "Graph", { kind: "graph", value: "" }),
      this.#line("template", "Templates", { kind: "templates", value: "" }, templates),
      this.#line("trash", "Trash", { kind: "trash", value: "" }, trash, { title: `Emptied after ${days} days` }),
    ]
  }

  #today(): void {
    if (this.app.showToday()) this.doing.onGone()
  }

  #section(title: string, button?: HTMLElement): HTMLElement {
    return h("div", { class: "section" }, h("h2", {}, title), button)
  }

  #line(picture: IconName, label: string, scope: Scope, count?: number, attributes: Record<string, unknown> = {}): HTMLElement {
    const key = `${scope.kind}:${scope.value}`
    const current = this.app.place.scope
    const isCurrent = current.kind === scope.kind && current.value === scope.value
    const go = () => {
      this.app.go({ scope, ...(scope.kind === "graph" ? { note: undefined } : {}) })
      this.doing.onGone()
    }
    const button = h(
      "button",
      { type: "button", class: "place", "data-key": key, "aria-current": isCurrent && "page", onclick: go, ...attributes },
      icon(picture),
      h("span", {}, label),
      count !== undefined && count > 0 && h("span", { class: "count" }, String(count)),
    )
    return h("li", {}, button)
  }

  #folders(counts: ReadonlyMap<string, number>): HTMLElement[] {
    const closed = new Set(settings().closed)
    let hiddenBelow = Infinity
    return this.app.vault.folders.flatMap(folder => {
      if (folder.depth > hiddenBelow) return []
      hiddenBelow = closed.has(folder.id) ? folder.depth : Infinity
      return [this.#folder(folder, counts.get(folder.id), !closed.has(folder.id))]
    })
  }

  #folder(folder: Branch, count: number | undefined, isOpen: boolean): HTMLElement {
    const line = this.#line("folder", folder.name, { kind: "folder", value: folder.id }, count)
    line.className = `folder depth-${Math.min(folder.depth, 6)}`
    const toggle = () => toggleFolder(folder.id)
    const label = `${isOpen ? "Close" : "Open"} ${folder.name}`
    const button = iconButton("chevron", label, { class: "icon-button toggle", "aria-expanded": String(isOpen), onclick: toggle })
    line.prepend(folder.hasChildren ? button : h("span", { class: "toggle" }))
    if (!this.app.vault.isReadOnly) this.#takeChanges(line, folder)
    return line
  }

  /** A folder that can be changed has a menu, and notes are dropped on it. */
  #takeChanges(line: HTMLElement, folder: Branch): void {
    const more = iconButton("more", `More about ${folder.name}`, { class: "icon-button more", "aria-haspopup": "menu" })
    more.addEventListener("click", () => this.#folderMenu(folder, more))
    line.addEventListener("contextmenu", event => (event.preventDefault(), this.#folderMenu(folder, more)))
    takesNotes(line, ids => this.app.vault.move(ids, folder.id))
    line.append(more)
  }

  #folderMenu(folder: Branch, anchor: HTMLElement): void {
    const { vault } = this.app
    const newNote = () => this.app.show(vault.create({ folder: folder.id }))
    openMenu(anchor, folder.name, [
      {
        label: "New note here",
        icon: "plus",
        run: () => (this.app.go({ scope: { kind: "folder", value: folder.id } }), newNote()),
      },
      { label: "New folder inside", icon: "folder", run: () => void this.newFolder(folder.id) },
      { label: "Rename", icon: "edit", run: () => void this.#rename(folder) },
      undefined,
      { label: "Remove folder", icon: "trash", isDanger: true, run: () => void this.#remove(folder) },
    ])
  }

  async newFolder(parent = ""): Promise<void> {
    const name = await ask("New folder", "Name", "", "Create")
    if (!name) return
    const id = this.app.vault.createFolder(name, parent)
    this.app.go({ scope: { kind: "folder", value: id }, note: undefined })
  }

  async #rename(folder: Branch): Promise<void> {
    const name = await ask("Rename folder", "Name", folder.name)
    if (name) this.app.vault.renameFolder(folder.id, name)
  }

  async #remove(folder: Branch): Promise<void> {
    const { vault } = this.app
    const count = [...vault.notes.values()].filter(note => note.folder === folder.id && isListed(note)).length
    const where = vault.folder(folder.parent ?? "")?.name
    const rest = count === 0 ? "It is empty." : `Its notes stay: they go to ${where ? `“${where}”` : "all notes"}.`
    if (!(await confirm(`Remove “${folder.name}”?`, rest, "Remove"))) return
    vault.deleteFolder(folder.id)
    const { scope } = this.app.place
    if (scope.kind === "folder" && scope.value === folder.id) this.app.go({ scope: ALL }, "replace")
  }

  #tags(): HTMLElement[] {
    const counts = [...this.app.vault.tagCounts()]
    if (counts.length === 0) return []
    const most = counts.sort((a, b) => b[1] - a[1]).slice(0, TAGS_MAX)
    const lines = most
      .sort((a, b) => byName(a[0], b[0]))
      .map(([tag, count]) => this.#line("tag", tag, { kind: "tag", value: tag }, count))
    return [this.#section("Tags"), h("ul", { class: "tags" }, ...lines)]
  }
}

function toggleFolder(id: string): void {
  const { closed } = settings()
  choose({ closed: closed.includes(id) ? closed.filter(other => other !== id) : [...closed, id] })
}

export function hideSidebar(): void {
  choose({ isSidebarShown: !settings().isSidebarShown })
}

/** What notes are dragged as. */
export const DRAGGED = "application/x-selvedge-notes"

/** Has notes dropped on an element. */
function takesNotes(element: HTMLElement, take: (ids: string[]) => void): void {
  element.addEventListener("dragover", event => {
    if (!event.dataTransfer?.types.includes(DRAGGED)) return
    event.preventDefault()
    element.classList.add("over")
  })
  for (const type of ["dragleave", "drop"] as const) element.addEventListener(type, () => element.classList.remove("over"))
  element.addEventListener("drop", event => {
    const ids = event.dataTransfer?.getData(DRAGGED).split(" ").filter(Boolean) ?? []
    if (ids.length === 0) return
    event.preventDefault()
    take(ids)
  })
}
