// Chromium with a profile of its own, and what comes to it over the wire.
import { readFile } from "node:fs/promises"
import { chromium } from "playwright-core"

const SEEN = await readFile(new URL("page/seen.js", import.meta.url), "utf8")
const executablePath = process.env.SELVEDGE_CHROMIUM ?? "/usr/bin/chromium"
/** Whatever is waited for is there by then, or is not there. */
const PATIENCE_MS = 120_000

/** Opens a browser on a profile, which is made if it is not there; everything that consoles say is an error. */
export async function openBrowser(profile, { args = [], mayHear } = {}) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args: ["--no-sandbox", "--disable-dev-shm-usage", ...args],
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
  })
  context.setDefaultTimeout(PATIENCE_MS)
  const said = []
  const hear = what => mayHear?.test(what) || said.push(what)
  context.on("console", message => hear(`${message.type()}: ${message.text()}`))
  context.on("weberror", error => hear(`uncaught: ${error.error().message}`))
  await context.addInitScript(SEEN)
  return { context, said, page: context.pages()[0] ?? (await context.newPage()) }
}

/** Closes a browser; fails if a page of it said anything. */
export async function closeBrowser({ context, said }) {
  await context.close()
  if (said.length > 0) throw new Error(`consoles said: ${said.join(" | ")}`)
}

/** Plays something in a browser, and closes it whatever comes of that. */
export async function inBrowser(profile, options, play) {
  const browser = await openBrowser(profile, options)
  try {
    return await play(browser)
  } finally {
    await closeBrowser(browser)
  }
}

/** Bytes that came over the wire, heads of responses among them, by whom they were for. */
export class Wire {
  #requests = []

  constructor(context) {
    context.on("requestfinished", request => this.#requests.push(request))
  }

  /** What came so far to pages and their workers; with `ofWorker` to the service worker. */
  async sum({ ofWorker }) {
    const own = this.#requests.filter(request => (request.serviceWorker() !== null) === ofWorker)
    const sizes = await Promise.all(own.map(request => bytesOf(request)))
    return { bytes: sizes.reduce((sum, size) => sum + size, 0), requests: sizes.filter(size => size > 0).length }
  }

  /** In which encodings bodies came, of those that are worth it. */
  async encodings() {
    const found = await Promise.all(
      this.#requests.map(async request => {
        const response = await request.response()
        const type = response?.headers()["content-type"] ?? ""
        return /javascript|wasm|css|html/.test(type) ? (response.headers()["content-encoding"] ?? "none") : undefined
      }),
    )
    return [...new Set(found.filter(encoding => encoding !== undefined))]
  }
}

/** Nothing of what a cache or a service worker answered. */
async function bytesOf(request) {
  const response = await request.response()
  if (!response || response.fromServiceWorker()) return 0
  const { responseHeadersSize, responseBodySize } = await request.sizes()
  return responseBodySize > 0 ? responseHeadersSize + responseBodySize : 0
}

/** The moment in milliseconds since 1970, as pages tell it. */
export const now = () => performance.timeOrigin + performance.now()
