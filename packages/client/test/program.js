// A program that a test runs: what it says, and its end, whenever that came.
import { spawn } from "node:child_process"
import { eventually, inTime, pause } from "./waits.js"

/** The address that a program wants may be somebody else's for a while: it is begun so often, so long apart. */
const TRIES = 200
const APART_MS = 300
/** So long for one answer about its health. */
const HEALTH_MS = 10_000

export class Program {
  #child
  #ended
  #text = ""
  #hear = () => undefined

  /** Starts a program that is what it is started for once `ready` resolves. */
  static async start(file, words, options, ready) {
    for (let left = TRIES; ; left--) {
      const program = new Program(file, words, options)
      try {
        await ready(program)
        return program
      } catch (error) {
        await program.end()
        if (left === 0 || !error.message.includes("Address already in use")) throw error
        await pause(APART_MS)
      }
    }
  }

  constructor(file, words, options) {
    this.#child = spawn(file, words, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on("data", chunk => {
        this.#text += chunk
        this.#hear()
      })
    }
    this.#ended = new Promise(resolve => this.#child.once("close", (code, signal) => resolve(signal ?? code)))
  }

  /** Waits until it says something. */
  said(pattern) {
    const found = new Promise(resolve => {
      this.#hear = () => {
        const match = pattern.exec(this.#text)
        if (match) resolve(match)
      }
      this.#hear()
    })
    return this.#meanwhile(found, `${pattern} to be said`)
  }

  /** Waits until its relay can be asked. */
  serves(origin) {
    const isHealthy = () =>
      fetch(`${origin}/_selvedge/health`, { signal: AbortSignal.timeout(HEALTH_MS) }).then(
        ({ ok }) => ok,
        () => false,
      )
    return eventually(() => this.#meanwhile(isHealthy(), "an answer"), `${origin} to serve`)
  }

  /** What a promise becomes while this runs. */
  #meanwhile(promise, what) {
    const ended = this.#ended.then(how => {
      throw new Error(`selvedge ended with ${how}: ${this.#text}`)
    })
    return inTime(Promise.race([promise, ended]), what)
  }

  /** Ends it, if it did not end by itself. */
  async end(signal = "SIGTERM") {
    this.#child.kill(signal)
    try {
      await inTime(this.#ended, `selvedge to end by ${signal}`)
    } catch (error) {
      this.#child.kill("SIGKILL")
      throw error
    }
  }
}
