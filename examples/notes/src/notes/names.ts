/** Titles are the same if these are: links are written by people. */
export function keyOf(title: string): string {
  return title.normalize("NFC").trim().replace(/\s+/g, " ").toLowerCase()
}

/** What a note without a title is called. */
export const UNTITLED = "Untitled"

/** What no file system on any desk minds; brackets and hashes would break links to it. */
const FORBIDDEN = /[\u0000-\u001f\u007f<>:"/\\|?*[\]#^]+/g

/** Names that Windows keeps for itself. */
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)$/i

/** How long a file's name may be, with room for what makes it unique; file systems count bytes. */
const NAME_BYTES_MAX = 180

/** A name for a file or a folder, made of a title. */
export function fileName(title: string): string {
  const bare = cut(title.normalize("NFC").replace(FORBIDDEN, " ").replace(/\s+/g, " ")).replace(/^[. ]+|[. ]+$/g, "")
  if (!bare) return UNTITLED
  return RESERVED.test(bare) ? `${bare}_` : bare
}

/** Whether a path is that of a file with Markdown in it. */
export function isFileName(path: string): boolean {
  return /^[^/\\].*\.(md|markdown)(#.*)?$/is.test(path) && !path.startsWith("//")
}

/** `Recipes/Soup.md#Salt` is about Soup. */
export function titleOfPath(path: string): string {
  const file = path.split("/").at(-1) ?? path
  return file.replace(/#.*$/s, "").replace(/\.(md|markdown)$/i, "")
}

function cut(name: string): string {
  const encoder = new TextEncoder()
  let bytes = 0
  let end = 0
  for (const char of name) {
    bytes += encoder.encode(char).length
    if (bytes > NAME_BYTES_MAX) break
    end += char.length
  }
  return name.slice(0, end)
}
