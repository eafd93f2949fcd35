import type { DocumentChange } from "@selvedge/client"
import { excerpt, relink, scan, tagOf, type Scan } from "../text/scan.js"
import type { NoteFile } from "../notes/files.js"
import { keyOf, UNTITLED } from "../notes/names.js"
import { branches, type Branch, type Ordered } from "../notes/order.js"
import type { Hit, Searched } from "../notes/search.js"
import { DAILY, dayId, dayTitle, fill } from "../notes/templates.js"
import { ABOUT, type NoteRow, type VaultDoc } from "../schema.js"
import { firstText, readBody, rewriteBody, textUpdate } from "./body.js"

/** What lists and links need of a note. */
export interface Note extends Ordered {
  /** The folder it is in; empty if none. */
  readonly folder: string
  /** Tags that were given to it, besides those in its text. */
  readonly tags: readonly string[]
  readonly isTemplate: boolean
  readonly trashed: number | undefined
}

/** What changed of a vault. */
export interface VaultChange {
  /** Notes of which something may be different. */
  readonly notes: ReadonlySet<string>
  /** Whether lists may be different: titles, places, times. */
  readonly isOrder: boolean
  /** Whether folders and tags may be, and what is in them. */
  readonly isPlaces: boolean
  /** Whether links or tags may be. */
  readonly isLinks: boolean
}

/** Who finds notes by their words. */
export interface Finder {
  put(notes: readonly Searched[]): void
  remove(ids: readonly string[]): void
  search(text: string): Promise<readonly Hit[]>
}

/** How a note begins. */
export interface NewNote {
  readonly title?: string
  readonly folder?: string
  readonly body?: string
  readonly tags?: readonly string[]
  readonly isTemplate?: boolean
}

/** Trash is emptied after this. */
export const TRASH_MS = 30 * 86_400_000
/** How often it is written down that somebody writes. */
const TOUCH_MS = 10_000
/** Texts are read for so long at a time; then the person has the browser again. */
const SLICE_MS = 8
/** While texts are read for the first time, so often it is told what was in them. */
const TELL_MS = 1000
/** So many notes become one change when they are imported. */
const IMPORT_BATCH = 100
/** A backlink shows so much around it. */
const CONTEXT_CHARS = 200

interface Known extends Scan {
  readonly excerpt: string
}

/** The notes of a document: what is in them, what links them, and what can be done with them. */
export class Vault {
  readonly #notes = new Map<string, Note>()
  readonly #known = new Map<string, Known>()
  /** Made when somebody asks for a title first: a vault is there sooner without. */
  #titles: Index | undefined
  readonly #linkers = new Index()
  readonly #unread = new Set<string>()
  readonly #listeners = new Set<(change: VaultChange) => void>()
  readonly #unsubscribe: () => void
  readonly #endRights: () => void
  #folders: readonly Branch[] | undefined
  #news = noNews()
  #isTelling = false
  #toldAt = 0
  #isReading = false
  /** Texts were read for the first time, of which not all was told. */
  #isNew = false
  #isClosed = false

  constructor(
    readonly doc: VaultDoc,
    readonly finder: Finder,
  ) {
    for (const row of doc.notes) this.#take(restOf(row.id), row)
    this.#unsubscribe = doc.subscribe(change => this.#changed(change))
    this.#endRights = doc.rights.watch(() => this.#tellAll())
    this.#readOn()
  }

  close(): void {
    this.#isClosed = true
    this.#unsubscribe()
    this.#endRights()
    this.#listeners.clear()
  }

  /** Calls `listener` after changes, many at once. Returns what ends that. */
  watch(listener: (change: VaultChange) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  // Reading.

  get name(): string {
    return this.doc.about.get(ABOUT)?.name || this.doc.title || "Notes"
  }

  /** Whether this device may read it, and not write in it. */
  get isReadOnly(): boolean {
    return this.doc.rights.value?.includes("write") === false
  }

  /** Whether this device may let others in. */
  get isSharable(): boolean {
    return this.doc.rights.value?.includes("admin") !== false
  }

  get notes(): ReadonlyMap<string, Note> {
    return this.#notes
  }

  note(id: string): Note | undefined {
    return this.#notes.get(id)
  }

  row(id: string): NoteRow | undefined {
    return this.doc.notes.get(id)
  }

  body(id: string): string {
    const row = this.row(id)
    return row ? readBody(row.body) : ""
  }

  get folders(): readonly Branch[] {
    this.#folders ??= branches(
      this.doc.folders.all().map(row => ({ id: restOf(row.id), name: row.name, parent: restOf(row.parent) || undefined })),
    )
    return this.#folders
  }

  folder(id: string): Branch | undefined {
    return this.folders.find(folder => folder.id === id)
  }

  /** The beginning of a note's text. */
  excerpt(id: string): string {
    return this.#known.get(id)?.excerpt ?? excerpt(this.body(id))
  }

  /** What is in a note's text, if it was read yet. */
  scan(id: string): Scan | undefined {
    return this.#known.get(id)
  }

  /** All tags of a note. */
  tags(id: string): readonly string[] {
    return [...new Set([...(this.#notes.get(id)?.tags ?? []), ...(this.#known.get(id)?.tags ?? [])])]
  }

  /** How many notes have each tag. */
  tagCounts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const note of this.#notes.values()) {
      if (!isListed(note)) continue
      const inText = this.#known.get(note.id)?.tags ?? []
      for (const tag of note.tags) counts.set(tag, (counts.get(tag) ?? 0) + 1)
      for (const tag of inText) if (!note.tags.includes(tag)) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    }
    return counts
  }

  /** The note that a title means; of several the oldest, for everybody. */
  resolve(title: string): string | undefined {
    const ids = [...this.#titled(keyOf(title))].filter(id => this.#notes.get(id)?.trashed === undefined)
    const age = (id: string) => this.#notes.get(id)?.created ?? 0
    return ids.sort((a, b) => age(a) - age(b) || (a < b ? -1 : 1))[0]
  }

  /** The notes that link to one, each with the line that does. */
  backlinks(id: string): { id: string; context: string }[] {
    const note = this.#notes.get(id)
    if (!note || this.resolve(note.title) !== id) return []
    const key = keyOf(note.title)
    const linkers = [...this.#linkers.get(key)].filter(linker => linker !== id && isListed(this.#notes.get(linker)))
    return linkers.map(linker => ({ id: linker, context: contextOf(this.body(linker), key) }))
  }

  /** What each note links to. */
  links(): Map<string, string[]> {
    const links = new Map<string, string[]>()
    for (const note of this.#notes.values()) {
      if (!isListed(note)) continue
      const targets = this.#known.get(note.id)?.links ?? []
      links.set(note.id, targets.map(title => this.resolve(title)).filter(isDefined))
    }
    return links
  }

  /** Whether all texts were read as they are now. */
  get isRead(): boolean {
    return this.#unread.size === 0
  }

  /** Whether all texts were read once; until then there may be more links, tags and hits. */
  get isWhole(): boolean {
    return [...this.#unread].every(id => this.#known.has(id))
  }

  // Writing. Each is one change, and one undo.

  create(begun: NewNote = {}, id?: string): string {
    const now = Date.now()
    const { title = "", folder = "", body = "", tags = [], isTemplate = false } = begun
    const made = this.doc.notes.insert(
      {
        title,
        created: now,
        updated: now,
        ...(folder ? { folder: `folders/${folder}` } : {}),
        ...(tags.length > 0 ? { tags: tags.map(tagOf) } : {}),
        ...(body ? { body: id === undefined ? textUpdate(body) : firstText(body) } : {}),
        ...(isTemplate ? { template: true } : {}),
      },
      id,
    )
    return restOf(made)
  }

  /** The note of a day, if somebody began it. */
  knownDay(date: Date): string | undefined {
    const note = this.#notes.get(dayId(date))
    return note?.trashed === undefined ? note?.id : undefined
  }

  /** The note of a day; it is begun if nobody has. */
  day(date: Date): string {
    const id = dayId(date)
    const note = this.#notes.get(id)
    if (note?.trashed !== undefined) this.restore([id])
    if (note) return id
    const title = dayTitle(date)
    const own = [...this.#notes.values()].find(
      note => note.isTemplate && note.trashed === undefined && keyOf(note.title) === "daily",
    )
    const template = own ? this.body(own.id) : DAILY
    // By the day alone, so that every device of this person begins the same text.
    const now = new Date(date.getFullYear(), date.getMonth(), date.getDate(), 9)
    return this.create({ title, body: fill(template, { title, now }).text }, id)
  }

  /** Names a note, and nothing else: links follow a title that somebody is done with. */
  retitle(id: string, title: string): void {
    const row = this.row(id)
    if (!row || row.title === title) return
    this.doc.transaction(() => {
      row.title = title
      row.updated = Date.now()
    })
  }

  /**
   * Names a note, and has the links to it follow, which are by the title that it had before. Returns how many notes were changed by that;
   * undefined where none can lead to it by this title.
   */
  rename(id: string, title: string, before = this.row(id)?.title ?? ""): number | undefined {
    this.retitle(id, title)
    if (title === before) return 0
    if (!title.trim() || /[[\]|#]/.test(title) || this.resolve(title) !== id) return undefined
    const key = keyOf(before)
    const isOnly = key !== "" && [...this.#titled(key)].every(other => other === id)
    const linkers = isOnly ? [...this.#linkers.get(key)] : []
    this.doc.transaction(() => {
      for (const linker of linkers) this.rewrite(linker, body => relink(body, name => keyOf(name) === key, title.trim()))
    })
    return linkers.length
  }

  rewrite(id: string, change: (body: string) => string): void {
    const row = this.row(id)
    if (row) rewriteBody(row.body, change)
  }

  /** Says that somebody writes in a note; that is none of their steps. */
  touch(id: string): void {
    const row = this.row(id)
    const now = Date.now()
    if (row && Math.abs(now - row.updated) > TOUCH_MS) this.doc.transaction(() => (row.updated = now), { undo: false })
  }

  move(ids: readonly string[], folder: string): void {
    this.#each(ids, row => (row.folder = folder ? `folders/${folder}` : ""))
  }

  pin(ids: readonly string[], isPinned: boolean): void {
    this.#each(ids, row => (row.pinned = isPinned))
  }

  makeTemplate(ids: readonly string[], isTemplate: boolean): void {
    this.#each(ids, row => (row.template = isTemplate))
  }

  addTag(id: string, tag: string): void {
    const bare = tagOf(tag.trim().replace(/\s+/g, "-"))
    if (bare) this.row(id)?.tags.add(bare)
  }

  removeTag(id: string, tag: string): void {
    this.row(id)?.tags.delete(tag)
  }

  /** A clock may be months behind, and what is old in the trash is deleted for everybody: it is not earlier than what was written. */
  trash(ids: readonly string[], now = Date.now()): void {
    let latest = now
    for (const { updated } of this.#notes.values()) latest = Math.max(latest, updated)
    this.#each(ids, row => (row.trashed = latest))
  }

  restore(ids: readonly string[]): void {
    this.#each(ids, row => {
      row.trashed = undefined
      if (row.folder && !this.doc.folders.has(row.folder)) row.folder = ""
    })
  }

  deleteForever(ids: readonly string[]): void {
    this.doc.transaction(() => ids.forEach(id => this.doc.notes.delete(id)))
  }

  /** Deletes what has been in the trash for long enough. */
  sweep(now = Date.now()): number {
    if (this.isReadOnly) return 0
    const old = [...this.#notes.values()].filter(({ trashed }) => trashed !== undefined && now - trashed > TRASH_MS)
    if (old.length > 0) this.deleteForever(old.map(({ id }) => id))
    return old.length
  }

  createFolder(name: string, parent = ""): string {
    return restOf(this.doc.folders.insert({ name, ...(parent ? { parent: `folders/${parent}` } : {}) }))
  }

  renameFolder(id: string, name: string): void {
    this.doc.folders.update(id, { name })
  }

  /** Removes a folder; what is in it goes to the one it is in. */
  deleteFolder(id: string): void {
    const parent = this.doc.folders.get(id)?.parent ?? ""
    const isIn = (ref: string) => restOf(ref) === id
    this.doc.transaction(() => {
      for (const row of this.doc.notes) if (isIn(row.folder)) row.folder = parent
      for (const row of this.doc.folders) if (isIn(row.parent)) row.parent = parent
      this.doc.folders.delete(id)
    })
  }

  renameVault(name: string): void {
    this.doc.about.insert({ name }, ABOUT)
  }

  // Files.

  /** Takes in files, a few at a time; what is here already, to the letter, is left out. Returns how many were new. */
  async import(files: readonly NoteFile[], onProgress: (done: number) => void, signal?: AbortSignal): Promise<number> {
    const folders = new FolderPaths(this)
    let made = 0
    for (let from = 0; from < files.length; from += IMPORT_BATCH) {
      if (signal?.aborted) break
      const batch = files.slice(from, from + IMPORT_BATCH)
      made += this.doc.transaction(() => batch.filter(file => this.#importOne(file, folders)).length)
      onProgress(Math.min(files.length, from + IMPORT_BATCH))
      await pause()
    }
    return made
  }

  #importOne(file: NoteFile, folders: FolderPaths): boolean {
    const folder = folders.idOf(file.folder)
    const twins = [...this.#titled(keyOf(file.title))].filter(id => this.#notes.get(id)?.folder === folder)
    if (twins.some(id => this.#notes.get(id)?.trashed === undefined && this.body(id) === file.body)) return false
    const now = Date.now()
    this.doc.notes.insert({
      title: file.title,
      created: file.created ?? now,
      updated: file.updated ?? now,
      body: textUpdate(file.body),
      ...(folder ? { folder: `folders/${folder}` } : {}),
      ...(file.tags.length > 0 ? { tags: file.tags } : {}),
      ...(file.isPinned ? { pinned: true } : {}),
    })
    return true
  }

  /** All notes that are not in the trash, or these, as files. */
  async export(ids?: readonly string[], onProgress: (done: number) => void = () => undefined): Promise<NoteFile[]> {
    const files: NoteFile[] = []
    const wanted = ids ?? [...this.#notes.values()].filter(note => note.trashed === undefined).map(note => note.id)
    for (const id of wanted) {
      const note = this.#notes.get(id)
      if (note) files.push(this.#fileOf(note))
      if (files.length % IMPORT_BATCH === 0) {
        onProgress(files.length)
        await pause()
      }
    }
    return files
  }

  #fileOf({ id, title, folder, tags, created, updated, isPinned, isTemplate }: Note): NoteFile {
    const path = this.folder(folder)?.path ?? []
    return { title, folder: isTemplate ? ["Templates"] : path, body: this.body(id), tags, created, updated, isPinned }
  }

  // Keeping up.

  #each(ids: readonly string[], change: (row: NoteRow) => void): void {
    this.doc.transaction(() => {
      for (const id of ids) {
        const row = this.row(id)
        if (row) change(row)
      }
    })
  }

  #changed({ entities }: DocumentChange): void {
    for (const entity of entities) {
      const [collection, id] = [entity.slice(0, entity.indexOf("/")), restOf(entity)]
      if (collection === "notes") this.#take(id, this.row(id))
      else if (collection === "folders") this.#folders = undefined
      if (collection !== "notes") this.#tell(undefined, { isOrder: true, isPlaces: true })
    }
    this.#readOn()
  }

  /** Takes in how a note is now, without its text, which is read later. */
  #take(id: string, row: NoteRow | undefined): void {
    const before = this.#notes.get(id)
    if (!row?.exists) return before && this.#forget(before)
    const note = noteOf(id, row)
    this.#notes.set(id, note)
    this.#titles?.replace(id, before ? [keyOf(before.title)] : [], [keyOf(note.title)])
    this.#unread.add(id)
    this.#tell(id, {
      isOrder: !before || !isEqual(before, note),
      isPlaces: !before || !isInSamePlace(before, note),
      isLinks: before?.title !== note.title || before.trashed !== note.trashed,
    })
  }

  /** The notes with this key of a title. */
  #titled(key: string): ReadonlySet<string> {
    if (!this.#titles) {
      this.#titles = new Index()
      for (const { id, title } of this.#notes.values()) this.#titles.replace(id, [], [keyOf(title)])
    }
    return this.#titles.get(key)
  }

  #forget({ id, title }: Note): void {
    this.#notes.delete(id)
    this.#unread.delete(id)
    this.#titles?.replace(id, [keyOf(title)], [])
    this.#linkers.replace(id, this.#known.get(id)?.links.map(keyOf) ?? [], [])
    this.#known.delete(id)
    this.finder.remove([id])
    this.#tell(id, ALL_NEW)
  }

  /** Reads texts that were not read yet, whenever the browser has nothing else to do. */
  #readOn(): void {
    if (this.#isReading || this.#unread.size === 0) return
    this.#isReading = true
    whenIdle(() => {
      this.#isReading = false
      if (this.#isClosed) return
      this.#readSome()
      this.#readOn()
    })
  }

  #readSome(): void {
    const end = performance.now() + SLICE_MS
    const searched: Searched[] = []
    for (const id of this.#unread) {
      const body = this.#notes.has(id) ? this.body(id) : ""
      this.#read(id, body)
      const title = this.#notes.get(id)?.title ?? ""
      searched.push({ id, title, body, tags: this.tags(id) })
      if (performance.now() > end) break
    }
    this.finder.put(searched)
    if (this.#unread.size > 0 || !this.#isNew) return
    this.#isNew = false
    // Who shows what may be incomplete looks again.
    this.#tell(undefined, ALL_NEW)
  }

  #read(id: string, body: string): void {
    const before = this.#known.get(id)
    const known = { ...scan(body), excerpt: excerpt(body) }
    this.#known.set(id, known)
    this.#unread.delete(id)
    this.#linkers.replace(id, before?.links.map(keyOf) ?? [], known.links.map(keyOf))
    if (before) {
      const isPlaces = before.tags.join() !== known.tags.join()
      return this.#tell(id, { isPlaces, isLinks: isPlaces || before.links.join("\n") !== known.links.join("\n") })
    }
    // Thousands may be read for the first time: who shows them is told now and then.
    this.#isNew = true
    this.#news.notes.add(id)
    if (performance.now() - this.#toldAt > TELL_MS) this.#tell(id, { isPlaces: true, isLinks: true })
  }

  /** What can be done with all notes is otherwise. */
  #tellAll(): void {
    for (const id of this.#notes.keys()) this.#news.notes.add(id)
    this.#tell(undefined, ALL_NEW)
  }

  /** Tells listeners, once for all that happens now. */
  #tell(id: string | undefined, { isOrder = false, isPlaces = false, isLinks = false }: News): void {
    if (id !== undefined) this.#news.notes.add(id)
    this.#news.isOrder ||= isOrder
    this.#news.isPlaces ||= isPlaces
    this.#news.isLinks ||= isLinks
    if (this.#isTelling || this.#listeners.size === 0) return
    this.#isTelling = true
    queueMicrotask(() => {
      this.#isTelling = false
      this.#toldAt = performance.now()
      const news = this.#news
      this.#news = noNews()
      for (const listener of [...this.#listeners]) listener(news)
    })
  }
}

type News = Partial<Omit<VaultChange, "notes">>

const ALL_NEW: News = { isOrder: true, isPlaces: true, isLinks: true }

const noNews = () => ({ notes: new Set<string>(), isOrder: false, isPlaces: false, isLinks: false })

/** Which notes have a key. */
class Index {
  readonly #ids = new Map<string, Set<string>>()
  static readonly #NONE: ReadonlySet<string> = new Set()

  get(key: string): ReadonlySet<string> {
    return this.#ids.get(key) ?? Index.#NONE
  }

  replace(id: string, before: readonly string[], after: readonly string[]): void {
    for (const key of before) {
      const ids = this.#ids.get(key)
      ids?.delete(id)
      if (ids?.size === 0) this.#ids.delete(key)
    }
    for (const key of after) {
      const ids = this.#ids.get(key)
      if (ids) ids.add(id)
      else this.#ids.set(key, new Set([id]))
    }
  }
}

/** Folders by their paths; those that are missing are made. */
class FolderPaths {
  readonly #ids: Map<string, string>

  constructor(readonly vault: Vault) {
    this.#ids = new Map(vault.folders.map(({ id, path }) => [pathKey(path), id]))
  }

  idOf(path: readonly string[]): string {
    if (path.length === 0) return ""
    const key = pathKey(path)
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const made = this.vault.createFolder(path.at(-1) as string, this.idOf(path.slice(0, -1)))
    this.#ids.set(key, made)
    return made
  }
}

const pathKey = (path: readonly string[]) => path.map(keyOf).join("/")

/** Whether a note is among the others: not in the trash, and no template. */
export function isListed(note: Note | undefined): boolean {
  return note !== undefined && note.trashed === undefined && !note.isTemplate
}

/** What a note is called where it is shown. */
export function titleOf(note: Note | undefined): string {
  return note?.title.trim() || UNTITLED
}

/** `notes/x` is x, wherever an id may be whole. */
export function restOf(id: string): string {
  return id.slice(id.indexOf("/") + 1)
}

function noteOf(id: string, row: NoteRow): Note {
  return {
    id,
    title: row.title,
    folder: restOf(row.folder),
    tags: row.tags.values(),
    created: row.created,
    updated: row.updated,
    isPinned: row.pinned,
    isTemplate: row.template,
    trashed: row.trashed,
  }
}

function isEqual(one: Note, other: Note): boolean {
  const keys = ["title", "created", "updated", "isPinned"] as const
  return isInSamePlace(one, other) && keys.every(key => one[key] === other[key])
}

function isInSamePlace(one: Note, other: Note): boolean {
  const keys = ["folder", "isTemplate", "trashed"] as const
  return keys.every(key => one[key] === other[key]) && one.tags.join() === other.tags.join()
}

/** The first line that links to a title. */
function contextOf(body: string, key: string): string {
  const line = body.split("\n").find(line => scan(line).links.some(link => keyOf(link) === key)) ?? ""
  return excerpt(line, CONTEXT_CHARS)
}

const isDefined = (id: string | undefined): id is string => id !== undefined

type Idle = (run: () => void, options: { timeout: number }) => void

/** When the browser has time; Node, and browsers that do not say, soon. */
function whenIdle(run: () => void): void {
  const idle = (globalThis as { requestIdleCallback?: Idle }).requestIdleCallback
  if (idle) idle(run, { timeout: 200 })
  else setTimeout(run, 0)
}

const pause = () => new Promise<void>(resolve => setTimeout(resolve, 0))
