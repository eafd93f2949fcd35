// The real relay, in front of it the real edge, which serves the package's files; and browsers that open them.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { Visit, browser, skip as noBrowser } from "./browser.js"
import { page } from "./site.js"
import { attempted, LIMIT, withTries } from "./tries.js"

const DIST = fileURLToPath(new URL("../dist/", import.meta.url))
const SELVEDGE = process.env.SELVEDGE ?? fileURLToPath(new URL("../../../target/debug/selvedge", import.meta.url))
const skip = noBrowser || (existsSync(SELVEDGE) ? false : `there is no ${SELVEDGE}`)

const config = (port, sync) => `
workers 1
admin #false
telemetry { access-log #false }
drain-timeout "1s"
listener "web" { address "127.0.0.1:${port}" }
route "site" { static "./site" }
core {
    data-dir "./data"
    sync {
        guests "vaults/" { documents 1000; address-rate 1000 }
        ${sync}
    }
}
`

/** A test with a relay; `run` gets the relay, and a function that makes profiles. `sync` is more of the relay's config. */
export function withRelay(name, run, sync = "") {
  const attempt = async () => {
    const relay = await Relay.start(sync)
    const visits = []
    const visit = async options => {
      visits.push(new Visit(await (await browser()).newContext(options), relay))
      return visits.at(-1)
    }
    try {
      await attempted(run(relay, visit))
      for (const visit of visits) visit.checkConsoles()
    } finally {
      for (const { context } of visits) await context.close()
      await relay.remove()
    }
  }
  test(name, { ...LIMIT, skip }, t => withTries(t, attempt))
}

export class Relay {
  #folder
  #port = 0
  #process
  #sync

  static async start(sync) {
    const relay = new Relay()
    relay.#sync = sync
    relay.#folder = await mkdtemp(join(tmpdir(), "selvedge-client-"))
    await mkdir(join(relay.#folder, "site"))
    await cp(DIST, join(relay.#folder, "site/dist"), { recursive: true })
    await relay.put("index.html", page("page"))
    await relay.begin()
    return relay
  }

  get origin() {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Where its data is. */
  get data() {
    return join(this.#folder, "data")
  }

  /** Puts a file on the site. */
  put(name, text) {
    return writeFile(join(this.#folder, "site", name), text)
  }

  /** Starts it, again at the address that it had. */
  async begin() {
    await writeFile(join(this.#folder, "selvedge.kdl"), config(this.#port, this.#sync))
    this.#process = spawn(SELVEDGE, ["up"], { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] })
    const url = await said(this.#process, /listener=web.*url=http:\/\/127\.0\.0\.1:(\d+)/)
    this.#port = Number(url[1])
    while (!(await fetch(`${this.origin}/_selvedge/health`).then(({ ok }) => ok, () => false))) await new Promise(resolve => setTimeout(resolve, 50)) // prettier-ignore
  }

  /** Ends it; what was acknowledged stays. */
  async end() {
    const ended = new Promise(resolve => this.#process.once("exit", resolve))
    this.#process.kill("SIGTERM")
    await ended
  }

  /** Runs a command where it is. */
  async run(...words) {
    const child = spawn(SELVEDGE, words, { cwd: this.#folder, stdio: ["ignore", "pipe", "inherit"] })
    let out = ""
    for await (const chunk of child.stdout) out += chunk
    return out.trim()
  }

  async remove() {
    await this.end()
    await rm(this.#folder, { recursive: true })
  }
}

/** Waits until a program says something. */
function said(child, pattern) {
  let text = ""
  return new Promise((resolve, reject) => {
    const hear = chunk => {
      text += chunk
      const found = pattern.exec(text)
      if (found) resolve(found)
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.once("exit", code => reject(new Error(`selvedge ended with ${code}: ${text}`)))
  })
}
