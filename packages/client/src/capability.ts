import { ClientError, clientError } from "./error.js"
import { fromHex, toBase64 } from "./values.js"
import type { Right } from "./workspace.js"

/** How long a relay may take to answer. */
const TIMEOUT_MS = 30_000

/** A token, and when it ends, if that is known. */
export interface Capability {
  readonly token: string
  /** Milliseconds since 1970. */
  readonly ends: number | undefined
}

/** Somebody who signs: this device, or that of a link. */
export interface Signer {
  /** The public key, as hexadecimal digits. */
  readonly device: string
  sign(bytes: Uint8Array): Uint8Array
}

/** What a link's token is for. */
export interface Share {
  readonly token: string
  readonly device: string
  readonly rights: readonly string[]
  readonly link: "once" | "many"
}

/** Gets tokens from the relay, for who shows to have a key; see the sync protocol, requests of devices. */
export class Capabilities {
  readonly #relay: string
  readonly #now: () => number

  /** `now` says the time by the relay's clock. */
  constructor(relay: string, now: () => number) {
    this.#relay = relay
    this.#now = now
  }

  /** A token for a document that nobody founded, or that this device did. */
  found(signer: Signer, id: string): Promise<Capability> {
    const [tenant, document] = [id.slice(0, id.indexOf("/")), id.slice(id.indexOf("/") + 1)]
    return this.#ask(signer, "/device/found", { tenant, document })
  }

  /** The same token with another end. */
  renew(signer: Signer, token: string): Promise<Capability> {
    return this.#ask(signer, "/device/renew", { token })
  }

  /** A token for a link's device. */
  share(signer: Signer, share: Share): Promise<Capability> {
    return this.#ask(signer, "/device/share", share)
  }

  /** For a link's token, one for the device that opens the link. */
  join(link: Signer, token: string, device: string): Promise<Capability> {
    return this.#ask(link, "/device/join", { token, device })
  }

  async #ask(signer: Signer, path: string, question: object): Promise<Capability> {
    const body = JSON.stringify(question)
    const first = await this.#post(signer, path, body, this.#now())
    // A clock that is wrong and never heard of the relay's: it says what time it is.
    const { status, answer } = first.answer.now === undefined ? first : await this.#post(signer, path, body, first.answer.now)
    if (status < 300 && answer.token) return { token: answer.token, ends: answer.expires ? answer.expires * 1000 : undefined }
    const isLater = status >= 500 || status === 429
    throw new ClientError(isLater ? "unavailable" : "denied", `the relay gives no token: ${answer.detail ?? status}`)
  }

  async #post(signer: Signer, path: string, body: string, now: number): Promise<{ status: number; answer: Answer }> {
    const headers = { "Content-Type": "application/json", "Selvedge-Proof": await proof(signer, path, now, body) }
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const response = await fetch(`${this.#relay}${path}`, { method: "POST", headers, body, signal })
      return { status: response.status, answer: (await response.json().catch(() => ({}))) as Answer }
    } catch (error) {
      throw clientError("asking the relay for a token", error)
    }
  }
}

/** What the relay answers: a token, or what is wrong. */
interface Answer {
  readonly token?: string
  readonly expires?: number
  readonly detail?: string
  readonly now?: number
}

async function proof(signer: Signer, path: string, now: number, body: string): Promise<string> {
  const encoder = new TextEncoder()
  const time = Math.round(now)
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(body)))
  const head = encoder.encode(`selvedge-sync.1 request\0POST\n${path}\n${time}\n`)
  const signature = signer.sign(new Uint8Array([...head, ...hash]))
  return `device=${toBase64(fromHex(signer.device))}, time=${time}, signature=${toBase64(signature)}`
}

/** When a token ends, if it is a JWT that says so. */
export function endOf(token: string): number | undefined {
  const { exp } = claimsOf(token)
  return typeof exp === "number" ? exp * 1000 : undefined
}

/** What a token allows, if it is a JWT that says so. */
export function rightsOf(token: string | undefined): readonly Right[] | undefined {
  const { rights } = claimsOf(token ?? "")
  return Array.isArray(rights) ? (rights as Right[]) : undefined
}

interface Claims {
  readonly exp?: unknown
  readonly rights?: unknown
}

function claimsOf(token: string): Claims {
  try {
    const claims = atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"))
    return (JSON.parse(claims) as Claims | null) ?? {}
  } catch {
    return {}
  }
}
