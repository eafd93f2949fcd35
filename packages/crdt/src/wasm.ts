import load, { initSync as loadSync, type InitInput, type SyncInitInput } from "./core.js"

declare const process: { getBuiltinModule?: (name: string) => unknown } | undefined

/** What the core can be loaded from: a URL, a response, bytes, or a compiled module. */
export type Source = InitInput | Promise<InitInput>

let loading: Promise<void> | undefined
let isLoaded = false

/**
 * Loads the core, once; nothing else works before. Without a source it lies beside this module: browsers fetch it,
 * Node reads it.
 */
export function init(source?: Source): Promise<void> {
  if (isLoaded) return Promise.resolve()
  loading ??= start(source).catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}

/** Loads the core from bytes or a compiled module at once: in workers, or where nothing may wait. */
export function initSync(source: SyncInitInput): void {
  if (isLoaded) return
  loadSync({ module: source })
  isLoaded = true
}

async function start(source: Source | undefined): Promise<void> {
  await load({ module_or_path: source ?? beside() })
  isLoaded = true
}

function beside(): InitInput {
  const url = new URL("core_bg.wasm", import.meta.url)
  if (url.protocol !== "file:" || typeof process === "undefined" || !process.getBuiltinModule) return url
  const { readFileSync } = process.getBuiltinModule("node:fs") as { readFileSync(path: URL): Uint8Array<ArrayBuffer> }
  return readFileSync(url)
}
