/** The notes of this browser, for pages and for the service worker. */
export const WORKSPACE = {
  name: "notes",
  /** Behind the edge that serves the app. */
  relay: "/_selvedge/sync",
  engine: "engine_bg.wasm",
} as const
