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
 */
export type ErrorKind = "full" | "outdated" | "superseded" | "closed" | "denied" | "unavailable" | "unsupported" | "invalid"

/** The one error that this package throws. */
export class ClientError extends Error {
  readonly kind: ErrorKind

  constructor(kind: ErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = "ClientError"
    this.kind = kind
  }
}

const KINDS: Readonly<Record<string, ErrorKind>> = {
  QuotaExceededError: "full",
  VersionError: "outdated",
  NotAllowedError: "denied",
  NotSupportedError: "unsupported",
  SecurityError: "unsupported",
  DataCloneError: "invalid",
  DataError: "invalid",
}

/** What went wrong in a browser's interface, as an error of this package. */
export function clientError(what: string, cause: unknown): ClientError {
  if (cause instanceof ClientError) return cause
  const { name, message } = cause instanceof Error ? cause : { name: "", message: String(cause) }
  return new ClientError(KINDS[name] ?? "unavailable", `${what}: ${message || name}`, cause)
}
