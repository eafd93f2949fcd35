// A server on a loopback port: folders of built files, and over them what a test puts there.
import { readdir, readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { extname, join } from "node:path"
import { fileURLToPath } from "node:url"

const DIST = fileURLToPath(new URL("../dist/", import.meta.url))
const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
}

/** A page whose title is its version, and in which `client` is the package. */
export const page = title => `<!doctype html><html lang="en"><title>${title}</title><link rel="icon" href="data:,">
<script type="module">import * as client from "/dist/index.js"
globalThis.client = client</script>`

/** The package's modules, by their paths on a site. */
export async function packageFiles() {
  const entries = await readdir(DIST, { recursive: true })
  const names = entries.filter(name => name.endsWith(".js")).sort()
  return Object.fromEntries(
    await Promise.all(names.map(async name => [`/dist/${name}`, await readFile(join(DIST, name), "utf8")])),
  )
}

export class Site {
  /** Files by path: text or bytes, or a function of request and response. */
  files
  /** The paths that were asked for, in order. */
  asked = []
  #folders
  #server = createServer((request, response) => this.#answer(request, response))

  /** The package at /dist/, and an empty page that loads it. */
  static start() {
    return Site.of({ "/dist/": DIST }, { "/": page("page") })
  }

  /** Folders by the paths under which they are served, and files. */
  static async of(folders, files = {}) {
    const site = new Site()
    site.#folders = Object.entries(folders)
    site.files = new Map(Object.entries(files))
    await new Promise(resolve => site.#server.listen(0, "127.0.0.1", resolve))
    site.origin = `http://127.0.0.1:${site.#server.address().port}`
    return site
  }

  stop() {
    this.#server.closeAllConnections()
    return new Promise(resolve => this.#server.close(resolve))
  }

  async #answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, "http://site").pathname)
    this.asked.push(path)
    const file = this.files.get(path)
    if (typeof file === "function") return file(request, response)
    const body = file ?? (await this.#read(path))
    response.statusCode = body === undefined ? 404 : 200
    response.setHeader("content-type", TYPES[extname(path) || ".html"] ?? "application/octet-stream")
    response.end(body ?? "not found")
  }

  #read(path) {
    const found = this.#folders.find(([at]) => path.startsWith(at))
    if (!found || path.includes("..")) return undefined
    return readFile(join(found[1], path.slice(found[0].length) || "index.html")).catch(() => undefined)
  }
}
