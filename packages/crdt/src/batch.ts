import { Batch as Core, Heads as CoreHeads, History as CoreHistory, NewName, batchHash, readHeader } from "./core.js"
import { fromHex, kindNumber, kindOf, type Kind, type Value } from "./values.js"

/** When an operation was written, and by whom. */
export interface Stamp {
  /** The whole hybrid logical clock: milliseconds in the upper 48 bits. */
  hlc: bigint
  /** Milliseconds since 1970, by the author's clock. */
  ms: number
  /** The author's replica, as hexadecimal digits. */
  replica: string
  /** As which of its operations. */
  seq: number
}

/** A value with who wrote it, and when. */
export interface Written extends Stamp {
  value: Value
}

/** An operation. */
export interface Op extends Stamp {
  entity: string
  does: "put" | "cover" | "delete"
  field?: string
  kind?: Kind
  value?: Value
}

/** What of a batch is plain, also where its body is sealed. */
export interface Header {
  replica: string
  prev: Uint8Array
  first: number
  count: number
  stampFirst: bigint
  stampLast: bigint
}

/** What stands before the first batch of a replica. */
export const NO_HASH: Uint8Array = new Uint8Array(16)

/** The hash of a batch, as it was pushed: what the next one names. */
export function hashOf(pushed: Uint8Array): Uint8Array {
  return batchHash(pushed)
}

/** Reads the plain header of a batch. */
export function header(pushed: Uint8Array): Header {
  const [replica, prev, first, count, stampFirst, stampLast] = readHeader(pushed) as [
    string,
    Uint8Array,
    number,
    number,
    bigint,
    bigint,
  ]
  return { replica, prev, first, count, stampFirst, stampLast }
}

/** How operations are issued again under another id: for a replica whose id was cloned, or that was away too long. */
export interface NewIssue {
  replica: Uint8Array
  /** The new sequence of the first operation that is issued again. */
  first: number
  /** The old sequence of that operation. */
  since: number
  /** Stamps are at least this. */
  notBefore?: bigint
}

/** Operations of one replica without a gap. */
export class Batch {
  /** @internal */
  constructor(readonly core: Core) {}

  /** Reads a batch from its bytes. */
  static decode(bytes: Uint8Array): Batch {
    return new Batch(Core.decode(bytes))
  }

  /** Its bytes behind a batch with the hash `prev`. */
  encode(prev: Uint8Array = NO_HASH): Uint8Array {
    return this.core.encode(prev)
  }

  get replica(): string {
    return this.core.replica
  }

  /** The sequence of the first operation. */
  get first(): number {
    return this.core.first
  }

  get length(): number {
    return this.core.length
  }

  /** The ids of the entities that it is about. */
  entities(): Set<string> {
    return new Set(this.core.entities())
  }

  ops(): Op[] {
    return readOps(this.core.ops())
  }

  /** The same operations under another id; undefined if the new sequences do not follow. */
  reissued({ replica, first, since, notBefore = 0n }: NewIssue): Batch | undefined {
    const again = this.core.reissued(new NewName(replica, BigInt(first), BigInt(since), notBefore))
    return again && new Batch(again)
  }
}

/** What a batch is to the chain of its replica. */
export type Admission = "next" | "duplicate" | "past" | "gap" | "forked"

/** Where a replica's chain ends. */
export interface Head {
  seq: number
  hash: Uint8Array
}

/** The chains of a document's replicas: what was received of each, and which ids were cloned. */
export class Heads {
  readonly #core = new CoreHeads()

  constructor(known: Iterable<[string, Head]> = []) {
    for (const [replica, head] of known) this.set(replica, head)
  }

  /** Judges a batch, and takes it if it is the next. */
  admit(pushed: Uint8Array): Admission {
    return this.#core.admit(pushed) as Admission
  }

  set(replica: string, { seq, hash }: Head): void {
    this.#core.set(fromHex(replica), BigInt(seq), hash)
  }

  /** Forgets a replica that retired. */
  delete(replica: string): void {
    this.#core.remove(fromHex(replica))
  }

  entries(): Map<string, Head> {
    const rows = chunks(this.#core.entries(), 3) as [string, number, Uint8Array][]
    return new Map(rows.map(([replica, seq, hash]) => [replica, { seq, hash }]))
  }
}

/** Operations beside a document: also those whose values lost or were replaced. */
export class History {
  readonly #core = new CoreHistory()

  /** Takes in a batch, once. */
  record(batch: Batch | Uint8Array): void {
    this.#core.record(batch instanceof Batch ? batch.core : Core.decode(batch))
  }

  get length(): number {
    return this.#core.length
  }

  /** All operations on an entity, the oldest first. */
  ofEntity(entity: string): Op[] {
    return readOps(this.#core.ofEntity(entity))
  }

  /** The operations on a field, the oldest first. */
  ofField(entity: string, field: string, kind: Kind = "lww"): Op[] {
    return readOps(this.#core.ofField(entity, field, kindNumber(kind)))
  }

  /** Forgets operations up to a stamp. */
  trim(horizon: bigint): void {
    this.#core.trim(horizon)
  }
}

/** Entries from the core's flat list. */
export function readWritten(flat: unknown[]): Written[] {
  return chunks(flat, 5).map(([value, ...stamp]) => ({ value: value as Value, ...readStamp(stamp) }))
}

/** A stamp from its four parts. */
export function readStamp(parts: unknown[]): Stamp {
  const [hlc, ms, replica, seq] = parts as [bigint, number, string, number]
  return { hlc, ms, replica, seq }
}

function readOps(flat: unknown[]): Op[] {
  return chunks(flat, 9).map(parts => {
    const [entity, does, field, kind, value] = parts.slice(4) as [string, Op["does"], string?, number?, Value?]
    const op: Op = { ...readStamp(parts), entity, does }
    if (field !== undefined && kind !== undefined) Object.assign(op, { field, kind: kindOf(kind) })
    if (does === "put") Object.assign(op, { value })
    return op
  })
}

/** A flat list in rows. */
export function chunks(flat: unknown[], width: number): unknown[][] {
  return Array.from({ length: flat.length / width }, (_, at) => flat.slice(at * width, (at + 1) * width))
}
