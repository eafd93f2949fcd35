// A push service on this machine, and a browser's keys, with which its messages are opened as RFC 8291 says.
import { createDecipheriv, createECDH, hkdfSync, randomBytes } from "node:crypto"
import { createServer } from "node:http"
import { inTime } from "./waits.js"

export class PushService {
  #server = createServer((request, response) => this.#take(request, response))
  #waiting = []
  #came = []

  static async start() {
    const service = new PushService()
    await new Promise(resolve => service.#server.listen(0, "127.0.0.1", resolve))
    return service
  }

  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`
  }

  /** Forgets what came, and who waits: what a test before left is nothing to this one. */
  clear() {
    this.#came = []
    this.#waiting = []
  }

  /** The next message: for whom, its fields, its bytes. */
  next() {
    const came = this.#came.shift()
    return came ? Promise.resolve(came) : inTime(new Promise(resolve => this.#waiting.push(resolve)), "a push message")
  }

  stop() {
    this.#server.closeAllConnections()
    return new Promise(resolve => this.#server.close(resolve))
  }

  async #take(request, response) {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const came = { path: request.url, headers: request.headers, body: Buffer.concat(chunks) }
    const waiting = this.#waiting.shift()
    if (waiting) waiting(came)
    else this.#came.push(came)
    response.writeHead(201).end()
  }
}

/** The keys of a browser that subscribed. */
export class Subscriber {
  #keys = createECDH("prime256v1")
  #key = this.#keys.generateKeys()
  #secret = randomBytes(16)

  constructor(endpoint) {
    this.endpoint = endpoint
  }

  /** What `PushSubscription.toJSON()` says. */
  get json() {
    const { endpoint } = this
    return { endpoint, keys: { p256dh: this.#key.toString("base64url"), auth: this.#secret.toString("base64url") } }
  }

  open(body) {
    const [salt, sender, sealed] = [body.subarray(0, 16), body.subarray(21, 86), body.subarray(86)]
    const info = Buffer.concat([Buffer.from("WebPush: info\0"), this.#key, sender])
    const secret = hkdfSync("sha256", this.#keys.computeSecret(sender), this.#secret, info, 32)
    const derive = (name, bytes) => Buffer.from(hkdfSync("sha256", secret, salt, `Content-Encoding: ${name}\0`, bytes))
    const cipher = createDecipheriv("aes-128-gcm", derive("aes128gcm", 16), derive("nonce", 12))
    cipher.setAuthTag(sealed.subarray(-16))
    const padded = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()])
    return padded.subarray(0, padded.lastIndexOf(2)).toString()
  }
}

/** In a page, before anything else: no push service takes this browser, so what the page asks of its manager is answered here. */
export function stubPushManager(json) {
  let current = null
  PushManager.prototype.getSubscription = async () => current
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    globalThis.serverKey = [...applicationServerKey]
    const options = { applicationServerKey: applicationServerKey.slice().buffer }
    return (current = { options, toJSON: () => json, unsubscribe: async () => !(current = null) })
  }
}
