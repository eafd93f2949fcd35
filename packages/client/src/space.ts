/** What an origin has of the disk, in bytes, as far as the browser tells. */
export interface Space {
  readonly used: number
  readonly quota: number
  /** Whether the browser keeps it when space is short. */
  readonly isPersistent: boolean
}

/**
 * Asks the browser not to throw away what is stored here, and returns whether it will not. Some ask the person: do it once there is something
 * to lose.
 */
export async function requestPersistence(): Promise<boolean> {
  const storage = storageOrNone()
  return ((await storage?.persisted?.()) || (await storage?.persist?.())) ?? false
}

/** Returns what is used and what there is, or nothing where the browser does not say. */
export async function space(): Promise<Space | undefined> {
  const storage = storageOrNone()
  if (!storage?.estimate) return undefined
  const { usage = 0, quota = 0 } = await storage.estimate()
  return { used: usage, quota, isPersistent: (await storage.persisted?.()) ?? false }
}

/** Node has none, and neither have pages over plain HTTP. */
function storageOrNone(): Partial<StorageManager> | undefined {
  return (globalThis as { navigator?: { storage?: StorageManager } }).navigator?.storage
}
