// The built app: where it is, and a site that has nothing but it, as when nobody answers.
import { fileURLToPath } from "node:url"
import { Site } from "../../../packages/client/test/site.js"

export const DIST = process.env.SELVEDGE_NOTES ?? fileURLToPath(new URL("../dist/", import.meta.url))

/** Serves the app without a relay. */
export const startAlone = () => Site.of({ "/": DIST })
