import type { Manifest } from "@selvedge/client/worker"

/** Written by `selvedge-precache` when the app is built. */
declare const manifest: Manifest
export default manifest
