// The app as `selvedge up` serves it, with a relay behind it.
import { existsSync } from "node:fs"
import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Program } from "../../../packages/client/test/program.js"
import { DIST } from "./built.js"

const PROGRAM = process.env.SELVEDGE ?? ""

/** Why there is no relay, if there is none. */
export const noRelay = existsSync(PROGRAM) ? false : "SELVEDGE names no program"

export class Up {
  #program
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
    await this.#program.end("SIGINT")
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #start() {
    const options = { cwd: this.#folder, env: { ...process.env, TMPDIR: this.#folder } }
    this.#program = await Program.start(PROGRAM, ["up", "--site", this.site], options, async program => {
      const [, origin] = await program.said(/^ {2}Site +(\S+)\/\n/m)
      this.origin = origin
    })
  }
}
