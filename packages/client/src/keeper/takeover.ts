import type { WakeUp } from "../push.js"
import { recall, remember } from "../reminder.js"
import { loadEngine, openSession, type Session } from "../session.js"
import { openStore, type Store } from "../store.js"
import type { Standing } from "../words.js"
import type { WorkspaceOptions } from "../workspace.js"
import { recordKey, WAKE_UP_KEY, type Known } from "./record.js"
import { readEarly, type Stored } from "./stored.js"

/** What a tab that begins to lead finds. */
export interface Taken {
  readonly store: Store
  readonly session: Session
  readonly wakeUp: WakeUp | undefined
  readonly records: Map<string, Known>
  /** What was read of documents before anybody asked; each counts once. */
  readonly early: Map<string, Promise<Stored>>
  readonly found: Standing["found"]
}

/** Claims what is stored, and has the engine ready. `lost` ends when the store is taken away. */
export async function takeOver(options: WorkspaceOptions, lost: AbortController): Promise<Taken> {
  const engine = loadEngine(options.engine)
  // The disk is read while the engine comes; if that fails, this is not left behind.
  engine.catch(() => undefined)
  const store = await openOwn(options, lost)
  try {
    await store.claim()
    const isBack = await comeBack(options, store)
    const [secret, records, wakeUp] = await Promise.all([
      deviceSecret(options.name, store),
      recordsOf(store),
      store.meta(WAKE_UP_KEY) as Promise<WakeUp | undefined>,
    ])
    const early = readEarly(store, records.keys())
    await engine
    const session = openSession(secret)
    const found = isBack || store.found === "evicted" ? "evicted" : records.size > 0 ? "known" : "new"
    return { store, session, wakeUp, records, early, found }
  } catch (error) {
    store.close()
    throw error
  }
}

/** What is kept of each document, by its id. */
async function recordsOf(store: Store): Promise<Map<string, Known>> {
  const kept = await store.metaKeys(recordKey(""))
  const records = kept.map(async key => [key.slice(recordKey("").length), (await store.meta(key)) as Known] as const)
  return new Map(await Promise.all(records))
}

async function openOwn({ name, store, onBlocked }: WorkspaceOptions, lost: AbortController): Promise<Store> {
  return store ?? openStore(name, { ...(onBlocked && { onBlocked }), onClosed: why => lost.abort(why) })
}

/**
 * A store without this device in it was thrown away, whoever opened it since: what is remembered comes back, first of all who this device is. Returns
 * whether anything did.
 */
async function comeBack({ name, store: own }: WorkspaceOptions, store: Store): Promise<boolean> {
  if (store.isVolatile || (own && store.found !== "evicted") || (await store.meta("device")) !== undefined) return false
  const remembered = recall(name)
  if (!(remembered["device"] instanceof Uint8Array)) return false
  await store.save({ meta: remembered })
  return true
}

/** The secret of this device: drawn at its first start, and never told. */
async function deviceSecret(name: string, store: Store): Promise<Uint8Array> {
  const known = (await store.meta("device")) as Uint8Array | undefined
  const secret = known ?? crypto.getRandomValues(new Uint8Array(32))
  if (!known) await store.save({ meta: { device: secret } })
  if (!store.isVolatile) remember(name, { device: secret })
  return secret
}
