// Replicas in Rust at the other end of a pipe: libs/crdt-text/examples/pipe.rs.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"

export class Pipe {
  #child
  #lines
  #ended

  constructor(program) {
    this.#child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] })
    this.#ended = once(this.#child, "close")
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** The answer to a command of a replica. */
  async ask(replica, command) {
    const [answer] = await this.askAll(replica, [command])
    return answer
  }

  /** The answers to commands that are sent together. */
  async askAll(replica, commands) {
    this.#child.stdin.write(commands.map(command => `${replica} ${command}\n`).join(""))
    const answers = []
    for (const command of commands) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`no answer to ${command.slice(0, 60)}`)
      answers.push(value)
    }
    return answers
  }

  async text(replica) {
    return Buffer.from(await this.ask(replica, "text"), "hex").toString()
  }

  /** Batches that a command wrote. */
  async batches(replica, command) {
    return (await this.ask(replica, command)).split(" ").filter(Boolean)
  }

  async end() {
    this.#child.stdin.end()
    await this.#ended
  }
}

export const hex = bytes => Buffer.from(bytes).toString("hex")
