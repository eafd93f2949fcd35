import { ClientError, clientError } from "./error.js"
import type { Installation } from "./installation.js"
import { fromBase64 } from "./values.js"
import type { Workspace } from "./workspace.js"

/** How long a relay may take to answer. */
const TIMEOUT_MS = 30_000
/** Bytes of a P-256 point, and of a secret (RFC 8291, section 2). */
const KEY_BYTES = 65
const SECRET_BYTES = 16

/** Where a browser is reached, and its keys. */
export interface WakeUp {
  readonly endpoint: string
  readonly key: Uint8Array
  readonly secret: Uint8Array
}

/**
 * Has the relay wake this browser when a document of the workspace changes and no tab of it is connected. Called after a click, as the browser asks the
 * person, and again at each start: browsers replace subscriptions, and relays their keys. It is `denied` where the person says no, `unsupported`
 * where the browser cannot, or the relay wakes nobody.
 */
export async function wakeOnChange(workspace: Workspace, installation: Installation): Promise<void> {
  const key = await workspace.pushKey()
  await workspace.wakeBy(await installation.subscribe(key))
}

/** Has this browser let sleep. */
export async function letSleep(workspace: Workspace, installation: Installation): Promise<void> {
  await workspace.wakeBy(undefined)
  await installation.unsubscribe()
}

/** The key that browsers subscribe with, so that this relay can wake them. */
export async function pushKeyOf(relay: string): Promise<string> {
  const { status, answer } = await ask(`${relay}/push`)
  if (typeof answer.key === "string") return answer.key
  if (answer.code === "sync/push") throw new ClientError("unsupported", "the relay wakes nobody")
  throw new ClientError("unavailable", `the relay says no key: ${answer.detail ?? status}`)
}

interface Answer {
  readonly key?: unknown
  readonly code?: string
  readonly detail?: string
}

async function ask(url: string): Promise<{ status: number; answer: Answer }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    return { status: response.status, answer: (await response.json().catch(() => ({}))) as Answer }
  } catch (error) {
    throw clientError("asking the relay for its key", error)
  }
}

/** A subscription as browsers write it. */
export function readSubscription({ endpoint, keys }: PushSubscriptionJSON): WakeUp {
  const [key, secret] = [keys?.["p256dh"], keys?.["auth"]].map(text => fromBase64(text ?? ""))
  if (!endpoint || key?.length !== KEY_BYTES || secret?.length !== SECRET_BYTES)
    throw new ClientError("invalid", "this is no subscription to push messages")
  return { endpoint, key, secret }
}
