import type { Session } from "./engine.js"
import type { FieldKind, Value } from "./schema.js"
import type { Unknown } from "./values.js"
import type { Conflict, Inspection, Operation } from "./workspace.js"

// What the inspector shows of a document, read from the engine. It is loaded when somebody asks.

/** Operations that are shown, at most. */
const LOG_MAX = 1_000
const WAITING_MAX = 500
/** Longer texts are cut: what is shown goes from tab to tab each time. */
const CHARS_MAX = 400

/** What is known of a document beside the engine. */
export type Beside = Pick<Inspection, "title" | "isEncrypted" | "rights" | "tokenEnds" | "events" | "stored" | "peers">

/** How a document is inside. */
export function inspect(session: Session, id: string, beside: Beside): Inspection {
  const [log, next] = session.position(id) as [string?, number?]
  return {
    ...beside,
    id,
    replica: session.replicaOf(id),
    entities: session.size(id),
    epoch: session.epoch(id),
    clockAheadMs: clockAhead(session),
    versions: rows(session.replicas(id), 2).map(([replica, latest]) => ({
      replica: replica as string,
      latest: latest as number,
    })),
    position: log === undefined ? undefined : { log, next: next! },
    pending: session.unacknowledged(id),
    waiting: rows(session.waiting(id, WAITING_MAX), 9).map(waiting),
    log: rows(session.operations(id, LOG_MAX), 9).sort(byClock).map(counting).slice(0, LOG_MAX),
    conflicts: rows(session.conflicts(id), 4).map(conflict),
  }
}

/** Before the relay was heard there is no other clock. */
function clockAhead(session: Session): number {
  const { relayMs } = session
  return relayMs === 0 ? 0 : Math.round(relayMs - Date.now())
}

/** Stamps have an order of their own: later in the same millisecond is later. */
function byClock(one: unknown[], other: unknown[]): number {
  const [a, b] = [one[5] as bigint, other[5] as bigint]
  return a === b ? 0 : a < b ? 1 : -1
}

function counting([entity, field, kind, bytes, value, , at, by, seq]: unknown[]): Operation {
  return operation({ entity, field, kind, bytes, value, at, by, seq, does: "put" })
}

function waiting([, at, by, seq, entity, does, field, kind, value]: unknown[]): Operation {
  return operation({ entity, field, kind, bytes: undefined, value, at, by, seq, does })
}

function operation(parts: Record<keyof Operation, unknown>): Operation {
  return { ...parts, kind: kindOf(parts.kind), ...shown(parts.value, parts.bytes) } as Operation
}

function conflict([entity, field, kind, written]: unknown[]): Conflict {
  const values = rows(written as unknown[], 5).map(([value, , at, by]) => ({
    at: at as number,
    by: by as string,
    ...shown(value),
  }))
  return { entity: entity as string, field: field as string, kind: kindOf(kind) ?? "unknown", values }
}

/** Kinds by their numbers. */
const NAMES: readonly (FieldKind | undefined)[] = [
  undefined,
  "lww",
  "grow-set",
  "or-set",
  "max",
  "min",
  "counter",
  "multi",
  "text",
]

function kindOf(number: unknown): FieldKind | "unknown" | undefined {
  return number === undefined ? undefined : (NAMES[number as number] ?? "unknown")
}

/** A value as it goes to another tab: bytes are counted, long texts are cut. */
function shown(value: unknown, bytes?: unknown): Pick<Operation, "value" | "bytes"> {
  if (bytes !== undefined) return { value: undefined, bytes: bytes as number }
  if (value instanceof Uint8Array) return { value: undefined, bytes: value.length }
  // What is left is of a type that only a later version knows.
  if (typeof value === "object" && value !== null) return { value: undefined, bytes: (value as Unknown).payload.length }
  const isLong = typeof value === "string" && value.length > CHARS_MAX
  return { value: (isLong ? `${value.slice(0, CHARS_MAX)}…` : value) as Value | undefined, bytes: undefined }
}

function rows(flat: readonly unknown[], width: number): unknown[][] {
  return Array.from({ length: flat.length / width }, (_, at) => flat.slice(at * width, (at + 1) * width))
}
