import { ClientError } from "./error.js"

/** The whole address of the relay, without a slash at its end. */
export function relayOf({ relay }: { readonly relay?: string | URL }): string | undefined {
  if (relay === undefined) return undefined
  const base = (globalThis as { location?: { href: string } }).location?.href
  try {
    return new URL(relay, base).href.replace(/\/$/, "")
  } catch {
    throw new ClientError("invalid", `"${String(relay)}" is no address of a relay`)
  }
}
