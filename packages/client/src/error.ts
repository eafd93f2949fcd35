/**
 * What the caller can do about it.
 *
 * - `full`: the browser gives no more space; free some, or export
 * - `outdated`: a newer version of the application has been here; reload
 * - `superseded`: another tab has taken over; what it stored is what counts
 * - `closed`: this was closed; open it again
 * - `denied`: the user or the browser said no
 * - `unavailable`: it does not work now; try again later
 * - `unsupported`: this browser cannot do it
 * - `invalid`: the caller's mistake
 * - `damaged`: what was stored cannot be read; export what can be, and begin again
 */
export type ErrorKind =
  "full" | "outdated" | "superseded" | "closed" | "denied" | "unavailable" | "unsupported" | "invalid" | "damaged"

/** The one error that this package throws. */
export class ClientError extends Error {
  readonly kind: ErrorKind

  constructor(kind: ErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = "ClientError"
    this.kind = kind
  }
}

const KINDS: ReadonlyMap<string, ErrorKind> = new Map([
  ["QuotaExceededError", "full"],
  ["VersionError", "outdated"],
  ["NotAllowedError", "denied"],
  ["NotSupportedError", "unsupported"],
  ["SecurityError", "unsupported"],
  ["DataCloneError", "invalid"],
  ["DataError", "invalid"],
])

/** What went wrong in a browser's interface, as an error of this package. */
export function clientError(what: string, cause: unknown): ClientError {
  if (cause instanceof ClientError) return cause
  const { name, message } = cause instanceof Error ? cause : { name: "", message: String(cause) }
  return new ClientError(KINDS.get(name) ?? "unavailable", `${what}: ${message || name}`, cause)
}

/** Whether who had a store has it no more: another tab may. */
export function isFinal({ kind }: ClientError): boolean {
  return kind === "superseded" || kind === "outdated" || kind === "closed"
}

/** Makes an error for the engine, which knows its kind. */
export function engineError(kind: string, message: string): ClientError {
  return new ClientError(kind as ErrorKind, message)
}
