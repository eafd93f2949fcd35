import type { App } from "../app.js"
import { commonFolder, fateOf, FILES_MAX, readFile, writeFiles, type Fate, type NoteFile } from "../notes/files.js"
import { fileName } from "../notes/names.js"
import { openArchive, packArchive } from "../notes/archive.js"
import { action, openDialog } from "./dialog.js"
import { fill, h } from "./dom.js"
import { droppedBy, type Dropped } from "./drops.js"
import { toast } from "./toast.js"

/** A file that can be read. */
interface Source {
  readonly path: string
  readonly size: number
  readonly modified: number | undefined
  text(): Promise<string>
}

/** Takes in Markdown: files, a folder, or an archive of either. */
export function importNotes(app: App, given: readonly Dropped[] = []): void {
  const stop = new AbortController()
  const dialog = openDialog("Import notes", { onClose: () => stop.abort() })
  const input = (attributes: Record<string, unknown>) =>
    h("input", {
      type: "file",
      multiple: true,
      class: "visually-hidden",
      tabindex: "-1",
      onchange: event => take([...((event.target as HTMLInputElement).files ?? [])]),
      ...attributes,
    })
  const files = input({ accept: ".md,.markdown,.txt,.zip", "aria-label": "Files" })
  const folder = input({ webkitdirectory: true, "aria-label": "Folder" })
  const drop = h(
    "div",
    { class: "drop" },
    h("p", {}, "Drop files, a folder or a zip here, or choose them."),
    h(
      "div",
      { class: "line" },
      action("Choose a folder", () => folder.click(), "main"),
      action("Choose files", () => files.click()),
    ),
  )
  const take = (chosen: readonly Dropped[]) => void run(app, dialog.body, chosen, stop.signal, dialog.close)
  drop.addEventListener("drop", event => take(droppedBy(event)))
  dialog.body.append(
    h(
      "p",
      { class: "lead" },
      "Vaults of Obsidian and folders of Markdown come as they are: folders, tags, links and dates. What is here already, to the letter, is not taken twice.",
    ),
    drop,
    files,
    folder,
  )
  if (given.length > 0) take(given)
}

async function run(
  app: App,
  body: HTMLElement,
  chosen: readonly Dropped[],
  signal: AbortSignal,
  close: () => void,
): Promise<void> {
  if (chosen.length === 0) return
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" })
  const label = h("p", { role: "status" }, "Reading…")
  fill(body, label, progress, h("footer", {}, action("Stop", close)))
  const say = (text: string, done: number, of: number) => {
    label.textContent = text
    progress.max = of
    progress.value = done
  }
  try {
    const { notes, fates } = await read(chosen, signal, say)
    const made = await app.vault.import(notes, done => say(`${done} of ${notes.length} notes`, done, notes.length), signal)
    await app.vault.doc.saved()
    const lines = summary(notes.length, made, fates, signal.aborted)
    toast(lines[0] as string)
    fill(body, ...lines.map(line => h("p", {}, line)), h("footer", {}, action("Done", close, "main")))
  } catch (error) {
    fill(
      body,
      h("p", { class: "error", role: "alert" }, `Importing failed: ${error instanceof Error ? error.message : String(error)}`),
      h("footer", {}, action("Close", close)),
    )
  }
}

type Say = (text: string, done: number, of: number) => void

async function read(
  chosen: readonly Dropped[],
  signal: AbortSignal,
  say: Say,
): Promise<{ notes: NoteFile[]; fates: Map<Fate, number> }> {
  const files = (await Promise.all(chosen.map(one => (one instanceof File ? [one] : filesOf(one, ""))))).flat()
  const sources = (await Promise.all(files.map(sourcesOf))).flat()
  const root = commonFolder(sources.map(({ path }) => path))
  const fates = new Map<Fate, number>()
  const notes: NoteFile[] = []
  for (const [at, source] of sources.entries()) {
    if (signal.aborted) break
    const path = source.path.slice(root.length)
    const fate = notes.length < FILES_MAX ? fateOf({ path, size: source.size }) : "other"
    fates.set(fate, (fates.get(fate) ?? 0) + 1)
    if (fate === "note") notes.push(readFile(path, await source.text(), source.modified))
    if (at % 200 === 0) say(`Reading ${at} of ${sources.length} files`, at, sources.length)
  }
  return { notes, fates }
}

async function sourcesOf(file: File): Promise<Source[]> {
  if (/\.zip$/i.test(file.name)) return openArchive(new Uint8Array(await file.arrayBuffer()))
  const path = file.webkitRelativePath || (file as File & { path?: string }).path || file.name
  return [{ path, size: file.size, modified: file.lastModified, text: () => file.text() }]
}

function summary(found: number, made: number, fates: ReadonlyMap<Fate, number>, isStopped: boolean): string[] {
  const count = (fate: Fate) => fates.get(fate) ?? 0
  const rest = isStopped ? "" : found - made > 0 ? ` ${found - made} were here already.` : ""
  return [
    `${made} notes were imported${isStopped ? ", then it was stopped" : ""}.${rest}`,
    ...(count("other") > 0 ? [`${count("other")} files are no Markdown and were left out.`] : []),
    ...(count("large") > 0 ? [`${count("large")} files are too large for a note and were left out.`] : []),
  ]
}

/** The files of what was dropped, also those in folders. */
async function filesOf(entry: FileSystemEntry, above: string): Promise<File[]> {
  const path = above + entry.name
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))
    return [Object.assign(file, { path })]
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const files: File[] = []
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0 || files.length > FILES_MAX) return files
    for (const inner of some) files.push(...(await filesOf(inner, `${path}/`)))
  }
}

/** Gives all notes as an archive of Markdown files in folders. */
export async function exportNotes(app: App): Promise<void> {
  toast("Packing…")
  const files = writeFiles(await app.vault.export())
  const day = new Date().toISOString().slice(0, 10)
  download(new Blob([packArchive(files)], { type: "application/zip" }), `${fileName(app.vault.name)} ${day}.zip`)
  toast(`${files.length} notes are in the archive.`)
}

/** Gives one note as a file. */
export async function exportNote(app: App, id: string): Promise<void> {
  const [file] = writeFiles(await app.vault.export([id]))
  if (file) download(new Blob([file.text], { type: "text/markdown" }), file.path.split("/").at(-1) as string)
}

function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob)
  h("a", { href: url, download: name }).click()
  // The browser has begun to read by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
