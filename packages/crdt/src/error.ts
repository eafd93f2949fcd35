/** What the caller can do: mend the argument, ask for other bytes, mend the schema, or call at another time. */
export type ErrorKind = "invalid" | "malformed" | "schema" | "state"

/** The one error that this package throws. */
export class CrdtError extends Error {
  readonly kind: ErrorKind

  constructor(kind: ErrorKind, message: string) {
    super(message)
    this.name = "CrdtError"
    this.kind = kind
  }
}

/** Makes an error for the core, which knows its kind. */
export function crdtError(kind: string, message: string): CrdtError {
  return new CrdtError(kind as ErrorKind, message)
}
