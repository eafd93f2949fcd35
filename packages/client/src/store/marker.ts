// A sign that outlives the store: browsers throw databases away when space is short, and keep this. Only pages have it.

const key = (name: string) => `selvedge:${name}`

export function isMarked(name: string): boolean {
  return localStorageOrNone()?.getItem(key(name)) === "claimed"
}

/** Leaves the sign. Where there is no room for it, an eviction will look like a new store. */
export function mark(name: string): void {
  try {
    localStorageOrNone()?.setItem(key(name), "claimed")
  } catch {}
}

/** None in workers and in Node; a browser where a site may store nothing throws at the mention. */
function localStorageOrNone(): Shelf | undefined {
  try {
    return "window" in globalThis ? (globalThis as { localStorage?: Shelf }).localStorage : undefined
  } catch {
    return undefined
  }
}

type Shelf = { getItem(key: string): string | null; setItem(key: string, value: string): void }
