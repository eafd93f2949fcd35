import load, { Session, type InitInput } from "./engine.js"
import { ClientError, clientError } from "./error.js"
import type { EngineSource } from "./workspace.js"

declare const process: { getBuiltinModule?: (name: string) => unknown } | undefined

let loading: Promise<void> | undefined

/** Loads the engine, once. Without a source it lies beside this module: browsers fetch it, Node reads it. */
export async function loadEngine(source?: EngineSource): Promise<void> {
  loading ??= start(source).catch((error: unknown) => {
    loading = undefined
    throw clientError("loading the engine", error)
  })
  return loading
}

async function start(source: EngineSource | undefined): Promise<void> {
  await load({ module_or_path: (source as InitInput | undefined) ?? beside() })
}

function beside(): InitInput {
  const url = new URL("engine_bg.wasm", import.meta.url)
  if (url.protocol !== "file:" || typeof process === "undefined" || !process.getBuiltinModule) return url
  const { readFileSync } = process.getBuiltinModule("node:fs") as { readFileSync(path: URL): Uint8Array<ArrayBuffer> }
  return readFileSync(url)
}

/** Something that happened to a document: what it is called, and its parts. */
export interface EngineEvent {
  readonly document: string
  readonly name: string
  readonly parts: readonly unknown[]
}

/** What is to be stored of a document, as a whole or not at all. */
export interface EngineTransaction {
  readonly document: string
  readonly number: number
  readonly changes: readonly ({ readonly begin: Uint8Array } | { readonly append: Uint8Array })[]
}

export function takeEvent(session: Session): EngineEvent | undefined {
  const row = session.takeEvent()
  if (!row) return undefined
  const [document, name, ...parts] = row as [string, string, ...unknown[]]
  return { document, name, parts }
}

export function takeTransaction(session: Session): EngineTransaction | undefined {
  const row = session.takeTransaction()
  if (!row) return undefined
  const [document, number, ...flat] = row as [string, number, ...unknown[]]
  const changes = Array.from({ length: flat.length / 2 }, (_, at) => {
    const bytes = flat[2 * at + 1] as Uint8Array
    return flat[2 * at] ? { begin: bytes } : { append: bytes }
  })
  return { document, number, changes }
}

/** A device's session; what the engine throws is an error of this package already. */
export function openSession(secret: Uint8Array): Session {
  if (!loading) throw new ClientError("invalid", "the engine is loaded first")
  return new Session(secret)
}

export { Invitation, type Session } from "./engine.js"
