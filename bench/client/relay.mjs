// `selvedge up` with a site and a relay, as somebody runs it who serves an application.
import { spawn } from "node:child_process"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"

const TRIES = 400
const TRY_MS = 50

const config = (address, site) => `
admin #false
telemetry { access-log #false }
drain-timeout "1s"
listener "web" { address "${address}" }
route "site" {
    static "${site}" { cache-control "no-cache" }
    compress #true
}
core {
    data-dir "./data"
    sync { guests "vaults/" }
}
`

/** A running one; what it keeps and where it listens lie in its folder, for the next that is started there. */
export class Relay {
  #process
  #said = []

  static async start({ program, site, folder }) {
    const relay = new Relay()
    await mkdir(folder, { recursive: true })
    relay.port = await portOf(folder)
    relay.origin = `http://127.0.0.1:${relay.port}`
    await writeFile(join(folder, "selvedge.kdl"), config(`127.0.0.1:${relay.port}`, site))
    relay.#process = spawn(program, ["up", "--config", "selvedge.kdl"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
    for (const stream of [relay.#process.stdout, relay.#process.stderr])
      stream.on("data", data => relay.#said.splice(0, Math.max(0, relay.#said.push(String(data)) - 20)))
    await relay.#ready()
    return relay
  }

  async #ready() {
    for (let left = TRIES; left > 0 && this.#process.exitCode === null; left--) {
      const isReady = await fetch(`${this.origin}/_selvedge/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      )
      if (isReady) return
      await new Promise(resolve => setTimeout(resolve, TRY_MS))
    }
    await this.stop()
    throw new Error(`selvedge up is not ready: ${this.#said.join("")}`)
  }

  async stop() {
    const ended = new Promise(resolve => this.#process.once("exit", resolve))
    if (this.#process.exitCode === null && this.#process.kill("SIGTERM")) await ended
  }
}

/** Plays something with a relay, and stops that whatever comes of it. */
export async function withRelay(settings, play) {
  const relay = await Relay.start(settings)
  try {
    return await play(relay)
  } finally {
    await relay.stop()
  }
}

/** The port of a folder: what a browser stores belongs to an address. */
async function portOf(folder) {
  const file = join(folder, "port")
  const known = await readFile(file, "utf8").catch(() => undefined)
  const port = known === undefined ? await freePort() : Number(known)
  await writeFile(file, String(port))
  return port
}

/** A loopback port that nobody has. */
export function freePort() {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
