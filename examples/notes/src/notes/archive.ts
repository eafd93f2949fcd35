import { strFromU8, strToU8, unzipSync, zipSync, type Zippable } from "fflate"
import { fateOf, FILES_MAX, type WrittenFile } from "./files.js"

/** A file in an archive. */
export interface Packed {
  readonly path: string
  readonly size: number
  readonly modified: number | undefined
  text(): Promise<string>
}

/** Unpacked texts may have so many bytes together: an archive of a megabyte can claim to hold a thousand times that. */
const BYTES_MAX = 500_000_000

/** Opens a zip archive. Only notes are unpacked, and none that is too large; the others are named. */
export function openArchive(bytes: Uint8Array): Packed[] {
  const others: Packed[] = []
  let left = { files: FILES_MAX, bytes: BYTES_MAX }
  const unpacked = unzipSync(bytes, {
    filter: ({ name, originalSize }) => {
      if (name.endsWith("/")) return false
      const isNote = fateOf({ path: name, size: originalSize }) === "note" && left.files > 0 && left.bytes >= originalSize
      if (isNote) left = { files: left.files - 1, bytes: left.bytes - originalSize }
      else others.push({ path: name, size: originalSize, modified: undefined, text: () => Promise.resolve("") })
      return isNote
    },
  })
  const notes = Object.entries(unpacked).map(([path, content]) => ({
    path,
    size: content.length,
    modified: undefined,
    text: () => Promise.resolve(strFromU8(content)),
  }))
  return [...notes, ...others]
}

/** Makes a zip archive of files. */
export function packArchive(files: readonly WrittenFile[]): Uint8Array<ArrayBuffer> {
  const entries: Zippable = {}
  for (const { path, text, modified } of files) entries[path] = [strToU8(text), { mtime: zipTime(modified) }]
  return zipSync(entries, { level: 6 })
}

/** Archives know the years from 1980 to 2099 only. */
function zipTime(time: number): number {
  return Math.min(Math.max(time, Date.UTC(1980, 0, 2)), Date.UTC(2099, 11, 30))
}
