// A browser with a disk of its own, whose process can be killed: what it kept is there when it is started again.
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { chromium } from "playwright-core"
import { inTime, WAIT_MS } from "../../../packages/client/test/waits.js"
import { executablePath } from "../../../packages/client/test/chromium.js"
import { Person } from "./browser.js"

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--remote-debugging-port=0",
  "about:blank",
]

export class Machine {
  person = new Person()
  #folder
  #process
  #gone
  #browser

  static async make() {
    const machine = new Machine()
    machine.#folder = await mkdtemp(join(tmpdir(), "selvedge-browser-"))
    return machine
  }

  /** Starts the browser, whose clock is so many days ahead; `isOnline` says whether there is a network. */
  async start(site, { days = 0, isOnline = true } = {}) {
    this.#process = spawn(executablePath, [...FLAGS, `--user-data-dir=${this.#folder}`], {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
    })
    this.#gone = new Promise(resolve => this.#process.once("exit", resolve))
    const address = await inTime(devtoolsOf(this.#process), "a browser to listen")
    this.#browser = await chromium.connectOverCDP(address, { timeout: WAIT_MS })
    const [context] = this.#browser.contexts()
    await context.setOffline(!isOnline)
    await context.addInitScript(days => {
      const now = Date.now.bind(Date)
      Date.now = () => now() + days * 86_400_000
    }, days)
    await this.person.sitDown(context, site)
    return this.person
  }

  /** The power fails. */
  async kill() {
    try {
      process.kill(-this.#process.pid, "SIGKILL")
    } catch (error) {
      // It is gone already.
      if (error.code !== "ESRCH") throw error
    }
    await inTime(this.#gone, "the browser to be gone")
    await this.#browser?.close().catch(() => undefined)
    this.#process = undefined
  }

  /** Takes it away, disk and all; again is nothing. */
  async close() {
    if (this.#process) await this.kill()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The address at which a browser takes commands; it says so once it is there. */
function devtoolsOf(child) {
  const said = []
  return new Promise((resolve, reject) => {
    createInterface(child.stderr).on("line", line => {
      said.push(line)
      const found = /DevTools listening on (\S+)/.exec(line)
      if (found) resolve(found[1])
    })
    child.once("exit", code => reject(new Error(`the browser ended (${code}): ${said.join("\n")}`)))
  })
}
