// What lies between a browser and a server: a test can have it stop in the middle of what the browser sends.
import { connect, createServer } from "node:net"

export class Wire {
  /** Bytes that may still go towards the server on connections that became WebSockets. */
  #left = Infinity
  #stuck
  #sockets = new Set()
  #server = createServer(client => this.#connect(client))
  #port

  /** A wire to the server at an address. */
  static async to(origin) {
    const wire = new Wire()
    wire.#port = Number(new URL(origin).port)
    await new Promise(resolve => wire.#server.listen(0, "127.0.0.1", resolve))
    wire.origin = `http://127.0.0.1:${wire.#server.address().port}`
    return wire
  }

  /** Lets so many bytes of WebSockets pass, and then none; resolves when more wanted to. */
  stopAfter(bytes) {
    this.#left = bytes
    return new Promise(resolve => (this.#stuck = resolve))
  }

  /** What comes from now on passes. What was stopped never arrives: its connections are gone. */
  mend() {
    for (const socket of this.#sockets) socket.destroy()
    this.#left = Infinity
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise(resolve => this.#server.close(resolve))
  }

  #connect(client) {
    const server = connect(this.#port, "127.0.0.1")
    let isSocket = false
    for (const [one, other] of [
      [client, server],
      [server, client],
    ]) {
      this.#sockets.add(one)
      one.on("error", () => other.destroy())
      one.on("close", () => (this.#sockets.delete(one), other.destroy()))
    }
    server.on("data", chunk => client.write(chunk))
    client.on("data", chunk => {
      server.write(isSocket ? this.#pass(chunk) : chunk)
      isSocket ||= /^upgrade: *websocket/im.test(chunk.toString("latin1"))
    })
  }

  #pass(chunk) {
    const passed = chunk.subarray(0, Math.min(chunk.length, this.#left))
    this.#left -= passed.length
    if (passed.length < chunk.length) this.#stuck?.()
    return passed
  }
}
