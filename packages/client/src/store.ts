import { ClientError } from "./error.js"
import { IndexedStore } from "./store/indexed.js"
import { MemoryStore } from "./store/memory.js"

/** A change to what is stored of a replica: everything goes and this is there instead, or this comes behind everything. */
export type Change = { readonly begin: Uint8Array } | { readonly append: Uint8Array }

/** What is stored of a replica: the last beginning, and what came behind it. */
export interface Saved {
  begin: Uint8Array
  appended: Uint8Array[]
}

/** What is stored together or not at all. */
export interface Transaction {
  /** Changes by replica, each in order; `undefined` forgets one. */
  readonly replicas?: Readonly<Record<string, readonly Change[] | undefined>>
  /** Values beside the replicas; `undefined` removes one. */
  readonly meta?: Readonly<Record<string, unknown>>
}

/**
 * What was found when the store was opened: what was `kept`, nothing (`empty`), or nothing although there was something:
 * the browser threw it away (`evicted`). Service workers cannot tell the last two apart, and say `empty`.
 */
export type Found = "kept" | "empty" | "evicted"

/** Where replicas are stored. It has one writer at a time: who claimed it last. */
export interface Store {
  /** Whether all of it is gone when this tab is. */
  readonly isVolatile: boolean
  readonly found: Found
  /** Becomes the writer. Whoever was it before is refused from here on, as `superseded`. */
  claim(): Promise<void>
  /**
   * Stores a transaction, after those before it; it is on the disk when this resolves. One that is refused has left nothing, and what
   * would have come behind it in a replica is refused too, until the replica begins anew or is loaded.
   */
  save(transaction: Transaction): Promise<void>
  load(replica: string): Promise<Saved | undefined>
  /** The replicas that are stored, sorted. */
  list(): Promise<string[]>
  /** A value beside the replicas. */
  meta(key: string): Promise<unknown>
  /** The keys of such values that begin so, sorted. */
  metaKeys(prefix?: string): Promise<string[]>
  close(): void
}

/** How a store is opened. */
export interface StoreOptions {
  /** A tab with an older version of the application has the store open and does not answer: it must be closed by hand. */
  onBlocked?: () => void
  /** The store is closed: `outdated`, as a newer version of the application wants it, or `closed`, as the browser took it away. */
  onClosed?: (why: ClientError) => void
}

/**
 * Opens the store of this name: in IndexedDB, or in memory where there is none for us. It fails as `outdated` where a newer
 * version of the application has been, and as `unavailable` where the disk does not answer.
 */
export async function openStore(name: string, options: StoreOptions = {}): Promise<Store> {
  checkName(name)
  try {
    return await IndexedStore.open(name, options)
  } catch (error) {
    if (error instanceof ClientError && error.kind === "unsupported") return new MemoryStore()
    throw error
  }
}

/** Names of stores are part of names of locks and channels. */
export function checkName(name: string): void {
  if (!/^[\w.-]{1,64}$/.test(name)) throw new ClientError("invalid", "a store's name has 1 to 64 letters, digits, . _ and -")
}
