/** A value that can be watched. */
export interface Watched<T> {
  readonly value: T
  /** Calls `listener` after each change; what is returned ends that. */
  watch(listener: (value: T) => void): () => void
}

/** A watched value, for who may change it. */
export class Cell<T> implements Watched<T> {
  #value: T
  readonly #listeners = new Set<(value: T) => void>()

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  /** Sets fields of the value. */
  set(fields: Partial<T>): void {
    const before = this.#value
    const changed = (Object.keys(fields) as (keyof T)[]).some(key => before[key] !== fields[key])
    if (!changed) return
    this.#value = { ...before, ...fields }
    tellAll(this.#listeners, listener => listener(this.#value))
  }

  watch(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

/**
 * Tells all of these, though one throws: what it throws is for the console, as with events, and must not come to who had something to tell. One that
 * was taken out meanwhile is not told.
 */
export function tellAll<L>(listeners: ReadonlySet<L>, tell: (listener: L) => void): void {
  for (const listener of [...listeners]) if (listeners.has(listener)) apart(() => tell(listener))
}

/** Does what is not ours: what it throws is for the console. */
export function apart(run: () => void): void {
  try {
    run()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
