// The real relay, in front of it the real edge, which serves the package's files; and browsers that open them.
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Visit, browser } from "./browser.js"
import { noBrowser } from "./chromium.js"
import { Program } from "./program.js"
import { page } from "./site.js"
import { inProfiles, LIMIT, withTries } from "./tries.js"
import { inTime } from "./waits.js"

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
      visits.push(new Visit(await inTime((await browser()).newContext(options), "a profile"), relay))
      return visits.at(-1)
    }
    const work = async () => {
      await run(relay, visit)
      for (const visit of visits) visit.checkConsoles()
    }
    try {
      await inProfiles(() => visits.map(({ context }) => context), work)
    } finally {
      await relay.remove()
    }
  }
  test(name, { ...LIMIT, skip }, t => withTries(t, attempt))
}

export class Relay {
  #folder
  #port = 0
  #program
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
    this.#program = await Program.start(SELVEDGE, ["up"], { cwd: this.#folder }, async program => {
      const [, port] = await program.said(/listener=web.*url=http:\/\/127\.0\.0\.1:(\d+)/)
      this.#port = Number(port)
      await program.serves(this.origin)
    })
  }

  /** Ends it; what was acknowledged stays. */
  async end() {
    await this.#program.end()
  }

  /** Runs a command where it is. */
  async run(...words) {
    const { stdout } = await promisify(execFile)(SELVEDGE, words, { cwd: this.#folder })
    return stdout.trim()
  }

  async remove() {
    await this.end()
    await rm(this.#folder, { recursive: true })
  }
}
