// The app as `selvedge up` serves it, with a relay behind it.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { DIST } from "./built.js"

const PROGRAM = process.env.SELVEDGE ?? ""

const TRIES = 10

/** Why there is no relay, if there is none. */
export const noRelay = existsSync(PROGRAM) ? false : "SELVEDGE names no program"

export class Up {
  #process
  #folder

  /** The files that are served, which a test may change. */
  site = DIST

  static async start() {
    const up = new Up()
    up.#folder = await mkdtemp(join(tmpdir(), "selvedge-notes-"))
    await up.#start()
    return up
  }

  /** The same with files of its own. */
  static async startCopy() {
    const up = new Up()
    up.#folder = await mkdtemp(join(tmpdir(), "selvedge-notes-"))
    up.site = join(up.#folder, "site")
    await cp(DIST, up.site, { recursive: true })
    await up.#start()
    return up
  }

  async stop() {
    this.#process.kill("SIGINT")
    await new Promise(resolve => (this.#process.exitCode === null ? this.#process.once("exit", resolve) : resolve()))
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Two that start at once may find the same port free: one of them tries again. */
  async #start() {
    for (let left = TRIES; ; left--) {
      try {
        this.origin = await this.#serve()
        return
      } catch (error) {
        if (left === 0 || !String(error).includes("Address already in use")) throw error
      }
    }
  }

  #serve() {
    this.#process = spawn(PROGRAM, ["up", "--site", this.site], {
      cwd: this.#folder,
      env: { ...process.env, TMPDIR: this.#folder },
    })
    const said = []
    this.#process.stderr.on("data", data => said.push(String(data)))
    const lines = createInterface(this.#process.stdout)
    return new Promise((resolve, reject) => {
      lines.on("line", line => {
        const url = /^ {2}Site +(\S+)\/$/.exec(line)?.[1]
        if (url) resolve(url)
      })
      this.#process.once("close", code => reject(new Error(`selvedge up ended (${code}): ${said.join("")}`)))
    })
  }
}
