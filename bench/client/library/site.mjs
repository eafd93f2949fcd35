// The page of a library, bundled, on a server; and behind it what the library syncs with.
import { spawn } from "node:child_process"
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { createInterface } from "node:readline"
import { createRequire } from "node:module"
import { extname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { freePort, Relay } from "../relay.mjs"

const HERE = fileURLToPath(new URL(".", import.meta.url))
const PACKAGES = resolve(HERE, "../../../packages")
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".wasm": "application/wasm" }
const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>bench</title><link rel="icon" href="data:,">
<body><script type="module" src="page.js"></script>`

/** Bundles the page of a library into a folder. */
export async function buildPage(library, folder) {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await build({
    entryPoints: [join(HERE, "page.js")],
    outfile: join(folder, "page.js"),
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    logLevel: "warning",
    alias: {
      library: join(HERE, `${library}.js`),
      "@selvedge/client": join(PACKAGES, "client/dist/index.js"),
      "@selvedge/client/text": join(PACKAGES, "client/dist/text.js"),
      "@selvedge/crdt/text": join(PACKAGES, "crdt/dist/text.js"),
      // One, though several packages use it.
      yjs: createRequire(import.meta.url)
        .resolve("yjs")
        .replace(/\.cjs$/, ".mjs"),
    },
  })
  await writeFile(join(folder, "index.html"), PAGE)
  if (library === "selvedge") await cp(join(PACKAGES, "client/dist/engine_bg.wasm"), join(folder, "engine_bg.wasm"))
}

/** Serves a folder, with what the library syncs with; `settings` are for pages. */
export async function serve(library, { program, site, folder }) {
  if (library === "selvedge") {
    const relay = await Relay.start({ program, site, folder })
    return { origin: relay.origin, settings: {}, stop: () => relay.stop() }
  }
  const files = await Files.start(site)
  const server = await Hocuspocus.start(await freePort())
  const stop = () => Promise.all([files.stop(), server.stop()])
  return { origin: files.origin, settings: { server: server.url }, stop }
}

/** Files of a folder on a loopback port. */
class Files {
  #server

  static async start(folder) {
    const files = new Files()
    files.#server = createServer((request, response) => void answer(folder, request, response))
    await new Promise(resolve => files.#server.listen(0, "127.0.0.1", resolve))
    files.origin = `http://127.0.0.1:${files.#server.address().port}`
    return files
  }

  stop() {
    this.#server.closeAllConnections()
    return new Promise(resolve => this.#server.close(resolve))
  }
}

async function answer(folder, request, response) {
  const { pathname } = new URL(request.url, "http://site")
  const name = pathname === "/" ? "/index.html" : pathname
  const body = await readFile(join(folder, name)).catch(() => undefined)
  response.statusCode = body === undefined ? 404 : 200
  response.setHeader("content-type", TYPES[extname(name)] ?? "text/plain")
  response.end(body ?? "not found")
}

/** The server that libraries on Yjs sync with, in a process of its own as ours is. */
class Hocuspocus {
  #process

  static async start(port) {
    const server = new Hocuspocus()
    server.url = `ws://127.0.0.1:${port}`
    server.#process = spawn(process.execPath, [join(HERE, "hocuspocus.mjs"), String(port)], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, NODE_ENV: "production" },
    })
    const lines = createInterface(server.#process.stdout)
    await new Promise((resolve, reject) => {
      lines.once("line", resolve)
      server.#process.once("exit", code => reject(new Error(`Hocuspocus ended (${code})`)))
    })
    return server
  }

  async stop() {
    const ended = new Promise(resolve => this.#process.once("exit", resolve))
    if (this.#process.exitCode === null && this.#process.kill("SIGTERM")) await ended
  }
}
