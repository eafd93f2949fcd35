import { ClientError, type Installation, type Workspace } from "@selvedge/client"
import { SearchWorker } from "./model/search.js"
import { titleOf, Vault, type VaultChange } from "./model/vault.js"
import { schema, type VaultDoc } from "./schema.js"
import { choose, settings } from "./settings.js"
import { trustedScript } from "./trusted.js"
import { confirm } from "./views/dialog.js"
import { toast, toastNext } from "./views/toast.js"

/** Which notes are listed. */
export interface Scope {
  readonly kind: "all" | "folder" | "tag" | "templates" | "trash" | "graph"
  /** The folder's id, or the tag. */
  readonly value: string
}

/** Where somebody is. */
export interface Place {
  readonly scope: Scope
  readonly note: string | undefined
}

export const ALL: Scope = { kind: "all", value: "" }

const KINDS = new Set(["all", "folder", "tag", "templates", "trash", "graph"])
/** What is typed is written so soon. */
const WRITE_MS = 150
/** Beside the page. */
const SEARCH_SCRIPT = "search-worker.js"

/** A notes app in a tab: the vault that is open, and the place in it. */
export class App {
  #vault: Vault | undefined
  /** How many times a vault was asked for: the last one counts. */
  #asked = 0
  #endForgotten: () => void = () => undefined
  #isForgetting = false
  #gone: () => void = () => undefined
  #finder: SearchWorker | undefined
  #place: Place = { scope: ALL, note: undefined }
  readonly #placeListeners = new Set<(place: Place, before: Place) => void>()
  readonly #vaultListeners = new Set<(change: VaultChange | undefined) => void>()
  #installation: Installation | undefined
  readonly #installedListeners = new Set<() => void>()
  /** What is typed and not written yet is written by these. */
  readonly flushes = new Set<() => void>()

  constructor(readonly workspace: Workspace) {
    window.addEventListener("hashchange", () => void this.#follow())
    window.addEventListener("pagehide", () => this.flush())
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.flush())
  }

  /** The open vault; views exist only while there is one. */
  get vault(): Vault {
    if (!this.#vault) throw new Error("no vault is open")
    return this.#vault
  }

  get hasVault(): boolean {
    return this.#vault !== undefined
  }

  /** The version that is installed, where there can be one. */
  get installation(): Installation | undefined {
    return this.#installation
  }

  set installation(installation: Installation | undefined) {
    this.#installation = installation
    for (const listener of this.#installedListeners) listener()
  }

  onInstalled(listener: () => void): void {
    this.#installedListeners.add(listener)
  }

  get place(): Place {
    return this.#place
  }

  /** Calls `listener` when somebody goes somewhere. */
  onPlace(listener: (place: Place, before: Place) => void): void {
    this.#placeListeners.add(listener)
  }

  /** Calls `listener` when something of the vault changed; without a change when another one was opened. */
  onVault(listener: (change: VaultChange | undefined) => void): void {
    this.#vaultListeners.add(listener)
  }

  flush(): void {
    for (const flush of this.flushes) {
      try {
        flush()
      } catch (error) {
        toast(`Writing failed: ${reasonOf(error)}`)
      }
    }
  }

  #writes = 0
  #isWriting = false

  /** Something was written: the page says that it is not saved until it is. */
  wrote(): void {
    this.#writes++
    if (this.#isWriting) return
    this.#isWriting = true
    document.documentElement.dataset["saved"] = "no"
    setTimeout(() => void this.#write(), WRITE_MS)
  }

  async #write(): Promise<void> {
    const count = this.#writes
    this.flush()
    // Where it cannot be saved the workspace says why.
    const isSaved = await this.#vault?.doc.saved().then(
      () => true,
      () => false,
    )
    this.#isWriting = false
    if (this.#writes !== count) return this.wrote()
    if (isSaved) document.documentElement.dataset["saved"] = "yes"
  }

  /** Opens a vault, or says why it cannot be opened. Returns whether it is open: it is not where another was asked for meanwhile. */
  async enter(id: string): Promise<boolean> {
    const asked = ++this.#asked
    const isLast = () => asked === this.#asked
    if (this.#vault?.doc.id === id) return true
    this.flush()
    try {
      const doc = await this.workspace.get(id, schema)
      if (isLast()) this.#show(doc)
    } catch (error) {
      if (isLast()) toast(`Opening the vault failed: ${reasonOf(error)}`)
    }
    return isLast() && this.#vault?.doc.id === id
  }

  #show(doc: VaultDoc): void {
    this.#vault?.close()
    this.#endForgotten()
    this.#finder?.close()
    this.#finder = new SearchWorker(trustedScript(SEARCH_SCRIPT), () => toast("Searching does not work: reload the page."))
    const vault = new Vault(doc, this.#finder)
    this.#vault = vault
    vault.watch(change => {
      this.wrote()
      this.#remember(vault)
      for (const listener of this.#vaultListeners) listener(change)
    })
    this.#endForgotten = doc.isForgotten.watch(() => this.#isForgetting || this.#gone())
    this.#sweep(vault)
    this.#remember(vault)
    choose({ vault: doc.id })
    for (const listener of this.#vaultListeners) listener(undefined)
  }

  /** Calls `listener` when the open vault is not on this device any more, and this tab did not ask for that: what is shown is all that is left of it. */
  onGone(listener: () => void): void {
    this.#gone = listener
  }

  /** Forgets the open vault on this device. */
  async forget(): Promise<void> {
    const { doc, name } = this.vault
    this.#isForgetting = true
    try {
      await this.workspace.forget(doc.id)
    } finally {
      this.#isForgetting = false
    }
    toastNext(`“${name}” was forgotten on this device.`)
    this.leave()
  }

  /** Begins anew, with another vault. */
  leave(): void {
    location.replace(location.pathname)
  }

  /**
   * Deletes what has been in the trash for long. That is for everybody, and a clock that is wrong must not decide it: where there is a relay its clock
   * counts, and is waited for.
   */
  #sweep(vault: Vault): void {
    let stop = () => {}
    const sweep = () => {
      const { connection, clockAheadMs } = this.workspace.state.value
      if (clockAheadMs === undefined && connection !== "none" && this.#vault === vault) return false
      stop()
      if (this.#vault === vault) vault.sweep(this.#now())
      return true
    }
    if (!sweep()) stop = this.workspace.state.watch(sweep)
  }

  /** The time by the clock that trash is emptied by: the relay's, where one was heard. */
  #now(): number {
    return Date.now() + (this.workspace.state.value.clockAheadMs ?? 0)
  }

  /** What a vault is called is asked for before it is opened. */
  #remember(vault: Vault): void {
    const { names } = settings()
    if (names[vault.doc.id] !== vault.name) choose({ names: { ...names, [vault.doc.id]: vault.name } })
  }

  /** Goes to the place of the address; returns whether that has one. */
  async start(): Promise<boolean> {
    return this.#follow()
  }

  go(place: Partial<Place>, how: "push" | "replace" = "push"): void {
    const next = { ...this.#place, ...place }
    if (isSame(next, this.#place)) return
    this.#arrive(next)
    history[how === "push" ? "pushState" : "replaceState"](null, "", hashOf(this.vault.doc.id, next))
  }

  /** Shows a note, where it is listed if it is not here. */
  show(id: string): void {
    const note = this.vault.note(id)
    const { scope } = this.#place
    const isElsewhere =
      scope.kind === "graph" ||
      (scope.kind === "trash") !== (note?.trashed !== undefined) ||
      (scope.kind === "templates") !== (note?.isTemplate ?? false) ||
      (scope.kind === "folder" && note?.folder !== scope.value) ||
      (scope.kind === "tag" && !this.vault.tags(id).includes(scope.value))
    const own: Scope = { kind: note?.trashed !== undefined ? "trash" : note?.isTemplate ? "templates" : "all", value: "" }
    this.go({ note: id, scope: isElsewhere ? own : scope })
  }

  /** Shows the note with a title; it is written if it is not there. */
  showTitle(title: string): void {
    const id = this.vault.resolve(title)
    if (id === undefined && this.vault.isReadOnly) return toast(`There is no note called “${title.trim()}”.`)
    this.show(id ?? this.vault.create({ title: title.trim() }))
  }

  /** Shows the note of today, which is begun if it is not there; returns whether there is one. */
  showToday(): boolean {
    const { vault } = this
    const id = vault.isReadOnly ? vault.knownDay(new Date()) : vault.day(new Date())
    if (id === undefined) toast("Nobody has begun a note of today.")
    else this.show(id)
    return id !== undefined
  }

  /** Does something that may fail, and says so if it does. */
  async attempt(what: string, run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run()
      return true
    } catch (error) {
      toast(`${what} failed: ${reasonOf(error)}`)
      return false
    }
  }

  /** Puts notes into the trash, from where they can be taken back. */
  trash(ids: readonly string[]): void {
    const { vault } = this
    const first = vault.note(ids[0] ?? "")
    if (!first) return
    vault.trash(ids, this.#now())
    if (ids.includes(this.#place.note ?? "")) this.go({ note: undefined }, "replace")
    const what = ids.length === 1 ? `“${titleOf(first)}”` : `${ids.length} notes`
    toast(`${what} moved to the trash`, { label: "Undo", run: () => vault.restore(ids) })
  }

  /** Deletes a note of the trash for everybody, unless somebody took it back before this person was sure. */
  async deleteForever(id: string): Promise<void> {
    const { vault } = this
    const isSure = await confirm("Delete forever?", `“${titleOf(vault.note(id))}” is deleted for everybody.`, "Delete forever")
    if (!isSure || vault.note(id)?.trashed === undefined) return
    if (this.#place.note === id) this.go({ note: undefined }, "replace")
    vault.deleteForever([id])
  }

  async #follow(): Promise<boolean> {
    const found = readHash(location.hash)
    if (!found) return false
    const isOpen = await this.enter(found.vault)
    if (isOpen) this.#arrive(found.place)
    return isOpen
  }

  #arrive(place: Place): void {
    const before = this.#place
    this.#place = place
    for (const listener of this.#placeListeners) listener(place, before)
  }
}

function isSame(one: Place, other: Place): boolean {
  return one.note === other.note && one.scope.kind === other.scope.kind && one.scope.value === other.scope.value
}

/** The address of a place. */
export function hashOf(vault: string, { scope, note }: Place): string {
  const parts = [vault, scope.value ? `${scope.kind}:${scope.value}` : scope.kind, ...(note === undefined ? [] : [note])]
  return `#/${parts.map(encodeURIComponent).join("/")}`
}

function readHash(hash: string): { vault: string; place: Place } | undefined {
  if (!hash.startsWith("#/") || hash.startsWith("#/join/")) return undefined
  try {
    const [vault, scope = "all", note] = hash.slice(2).split("/").map(decodeURIComponent)
    const [kind = "", ...value] = scope.split(":")
    if (!vault || !KINDS.has(kind)) return undefined
    return { vault, place: { scope: { kind: kind as Scope["kind"], value: value.join(":") }, note: note || undefined } }
  } catch {
    return undefined
  }
}

/** What to tell a person of an error. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ClientError)) return error instanceof Error ? error.message : String(error)
  const told: Partial<Record<ClientError["kind"], string>> = {
    full: "the disk is full",
    unavailable: "there is no connection",
    denied: "it is not allowed",
    outdated: "a newer version is open in another tab; reload this one",
  }
  return told[error.kind] ?? error.message
}
