import { ClientError, clientError } from "../error.js"
import type { Change, Found, Saved, Store, StoreOptions, Transaction } from "../store.js"
import { Database, type Step } from "./database.js"
import { isMarked, mark } from "./marker.js"
import { outcome } from "./merge.js"
import { Queue } from "./queue.js"

/** Beginnings, by replica. */
const REPLICAS = "replicas"
/** What came behind them, by replica and number. */
const PIECES = "pieces"
/** Values of the application. */
const META = "meta"
/** Who may write: the number of the last claim. */
const WRITER = "writer"
const EVERYTHING = [REPLICAS, PIECES, META, WRITER]

const STEPS: readonly Step[] = [
  database => {
    for (const name of EVERYTHING) database.createObjectStore(name)
  },
  // Since then beginnings may be blobs.
  () => undefined,
]

/** Beginnings from here on are stored as blobs where that pays. */
const BLOB_BYTES = 256 << 10

/**
 * Whether large values are read faster as blobs. Chromium keeps them in files of their own in any case, and bytes are copied once more on the way from
 * there: 11 MB came in 57 ms, a blob of them in 17.
 */
const READS_BLOBS_FASTER = "userAgentData" in (globalThis.navigator ?? {})

/** A store in IndexedDB. */
export class IndexedStore implements Store {
  readonly isVolatile = false
  readonly found: Found
  readonly #name: string
  readonly #database: Database
  readonly #queue: Queue
  /** The number of our claim. */
  #claim: number | undefined

  static async open(name: string, options: StoreOptions): Promise<IndexedStore> {
    const database = await Database.open(`selvedge:${name}`, STEPS, options)
    const claims = await database.read([WRITER], transaction => lastClaim(transaction))
    const found = claims > 0 ? "kept" : isMarked(name) ? "evicted" : "empty"
    return new IndexedStore(name, database, found)
  }

  private constructor(name: string, database: Database, found: Found) {
    this.#name = name
    this.#database = database
    this.found = found
    this.#queue = new Queue(transaction => this.#write(stores => put(stores, transaction)))
  }

  async claim(): Promise<void> {
    let claim = 0
    await this.#database.write([WRITER], transaction => {
      const writer = transaction.objectStore(WRITER)
      const last = writer.get(WRITER) as IDBRequest<number | undefined>
      last.onsuccess = () => {
        claim = (last.result ?? 0) + 1
        writer.put(claim, WRITER)
      }
    })
    this.#claim = claim
    mark(this.#name)
  }

  save(transaction: Transaction): Promise<void> {
    return this.#queue.push(transaction)
  }

  async load(replica: string): Promise<Saved | undefined> {
    await this.#queue.mend(replica)
    const { begin, appended } = await this.#database.read([REPLICAS, PIECES], transaction => {
      const begin = transaction.objectStore(REPLICAS).get(replica) as IDBRequest<Uint8Array | Blob | undefined>
      const appended = transaction.objectStore(PIECES).getAll(piecesOf(replica)) as IDBRequest<Uint8Array[]>
      return () => ({ begin: begin.result, appended: appended.result })
    })
    return begin && { begin: await bytesOf(begin), appended }
  }

  list(): Promise<string[]> {
    return this.#keys(REPLICAS)
  }

  meta(key: string): Promise<unknown> {
    return this.#database.read([META], transaction => {
      const value = transaction.objectStore(META).get(key)
      return () => value.result as unknown
    })
  }

  metaKeys(prefix = ""): Promise<string[]> {
    return this.#keys(META, IDBKeyRange.bound(prefix, `${prefix}\uffff`))
  }

  close(): void {
    this.#database.close()
  }

  #keys(store: string, range?: IDBKeyRange): Promise<string[]> {
    return this.#database.read([store], transaction => {
      const keys = transaction.objectStore(store).getAllKeys(range) as IDBRequest<string[]>
      return () => keys.result
    })
  }

  /** Writes if our claim is still the last. */
  #write(work: (transaction: IDBTransaction) => void): Promise<void> {
    const claim = this.#claim
    if (claim === undefined) return Promise.reject(new ClientError("invalid", "only who claimed a store may write"))
    return this.#database.write(EVERYTHING, (transaction, refuse) => {
      const last = transaction.objectStore(WRITER).get(WRITER) as IDBRequest<number | undefined>
      last.onsuccess = () => {
        if (last.result !== claim) return refuse(new ClientError("superseded", "another tab writes to the store now"))
        // What is thrown in a handler would be lost, and the console would have it.
        try {
          work(transaction)
        } catch (error) {
          refuse(clientError("writing to the store", error))
        }
      }
    })
  }
}

async function bytesOf(stored: Uint8Array | Blob): Promise<Uint8Array> {
  try {
    return stored instanceof Blob ? new Uint8Array(await stored.arrayBuffer()) : stored
  } catch (error) {
    throw clientError("reading from the store", error)
  }
}

function lastClaim(transaction: IDBTransaction): () => number {
  const last = transaction.objectStore(WRITER).get(WRITER) as IDBRequest<number | undefined>
  return () => last.result ?? 0
}

/** All keys of a replica's pieces. */
function piecesOf(replica: string): IDBKeyRange {
  return IDBKeyRange.bound([replica], [replica, Infinity])
}

function put(stores: IDBTransaction, { replicas = {}, meta = {} }: Transaction): void {
  for (const [replica, changes] of Object.entries(replicas)) putChanges(stores, replica, changes)
  for (const [key, value] of Object.entries(meta)) {
    if (value === undefined) stores.objectStore(META).delete(key)
    else stores.objectStore(META).put(value, key)
  }
}

function putChanges(stores: IDBTransaction, replica: string, changes: readonly Change[] | undefined): void {
  const beginnings = stores.objectStore(REPLICAS)
  const { begin, appended } = outcome(changes ?? [])
  if (begin || !changes) {
    beginnings.delete(replica)
    stores.objectStore(PIECES).delete(piecesOf(replica))
  }
  if (!changes) return
  if (begin) {
    beginnings.put(READS_BLOBS_FASTER && begin.length >= BLOB_BYTES ? new Blob([begin as BlobPart]) : begin, replica)
    return putPieces(stores, replica, 1, appended)
  }
  const known = beginnings.getKey(replica)
  known.onsuccess = () => {
    if (known.result === undefined) beginnings.put(new Uint8Array(), replica)
  }
  const last = stores.objectStore(PIECES).openKeyCursor(piecesOf(replica), "prev")
  last.onsuccess = () => {
    const key = last.result?.key as [string, number] | undefined
    putPieces(stores, replica, 1 + (key?.[1] ?? 0), appended)
  }
}

function putPieces(stores: IDBTransaction, replica: string, first: number, pieces: readonly Uint8Array[]): void {
  const store = stores.objectStore(PIECES)
  pieces.forEach((piece, at) => store.put(piece, [replica, first + at]))
}
