// Locks of an origin. A browser releases what a tab held when the tab is gone, however it went.

export const leaderLock = (name: string) => `selvedge:${name}:leader`
export const tabLock = (name: string, tab: string) => `selvedge:${name}:tab:${tab}`
export const channelName = (name: string) => `selvedge:${name}`

/** None outside of browsers: newer versions of Node have locks, and no tabs that share a store. */
export function locksOrNone(): LockManager | undefined {
  if (!("window" in globalThis) && !("WorkerGlobalScope" in globalThis)) return undefined
  return (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks
}

/** Takes a lock, and holds it until it is released or the tab ends. */
export function hold(locks: LockManager, name: string, released: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const held = locks.request(name, { signal: released }, () => {
      resolve()
      return new Promise<void>(release => released.addEventListener("abort", () => release()))
    })
    held.catch(reject)
  })
}
