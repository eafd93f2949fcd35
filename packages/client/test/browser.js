// Tests in Chromium: each has a site and a profile of its own, and fails if any page or worker says anything on its console.
import assert from "node:assert/strict"
import { test } from "node:test"
import { chromium } from "playwright-core"
import { browserBy, noBrowser } from "./chromium.js"
import { Site } from "./site.js"
import { inProfiles, LIMIT, withTries } from "./tries.js"
import { inTime, WAIT_MS } from "./waits.js"

/** The browser of all tests of a file. */
export const browser = browserBy(chromium)

/** A test in a browser; `run` gets a `Visit`. */
export function inBrowser(name, run) {
  const attempt = async () => {
    const context = await inTime((await browser()).newContext(), "a profile")
    const site = await Site.start()
    const visit = new Visit(context, site)
    const work = async () => {
      await run(visit)
      visit.checkConsoles()
    }
    try {
      await inProfiles(() => [context], work)
    } finally {
      await site.stop()
    }
  }
  test(name, { ...LIMIT, skip: noBrowser }, t => withTries(t, attempt))
}

/** A profile in the browser, and a site that its tabs open. */
export class Visit {
  /** What consoles said so far. */
  said = []
  #expected = []
  #listener

  constructor(context, site) {
    this.context = context
    this.site = site
    context.setDefaultTimeout(WAIT_MS)
    context.on("console", message => this.#hear(`${message.type()}: ${message.text()}`))
    context.on("weberror", error => this.#hear(`uncaught: ${error.error().message}`))
  }

  /** A tab in which `client` is the package. */
  async open(path = "/") {
    const page = await this.context.newPage()
    await page.goto(this.site.origin + path)
    return page
  }

  checkConsoles() {
    assert.deepEqual(this.said, [], "what consoles said")
  }

  /** What the test provokes the browser to say. */
  mayHear(pattern) {
    this.#expected.push(pattern)
  }

  /** Resolves once each of these was heard. */
  heard(patterns) {
    const all = new Promise(resolve => {
      this.#listener = () => patterns.every(pattern => this.said.some(what => pattern.test(what))) && resolve()
      this.#listener()
    })
    return inTime(all, `a console to say all of ${patterns.join(" ")}`)
  }

  #hear(what) {
    if (!this.#expected.some(pattern => pattern.test(what))) this.said.push(what)
    this.#listener?.()
  }

  /** A session with the browser's own protocol. */
  devtools(page) {
    return this.context.newCDPSession(page)
  }
}
