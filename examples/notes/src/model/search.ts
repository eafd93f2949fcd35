import type { Finder } from "./vault.js"
import type { Hit, Searched } from "../notes/search.js"

/** What the worker is told. */
export type Told =
  | { readonly put: readonly Searched[] }
  | { readonly remove: readonly string[] }
  | { readonly search: string; readonly number: number }

/** What it answers. */
export interface Answer {
  readonly number: number
  readonly hits: readonly Hit[]
}

/** Finds notes in a worker, so that typing never waits for it. */
export class SearchWorker implements Finder {
  readonly #worker: Worker
  readonly #asked = new Map<number, (hits: readonly Hit[]) => void>()
  #last = 0

  /** It was not loaded, and answers nothing. */
  #isBroken = false

  /** `onBroken` is called where the worker cannot be loaded, or fails: nothing is found then. */
  constructor(script: string | URL, onBroken: () => void) {
    this.#worker = new Worker(script, { type: "module" })
    this.#worker.addEventListener("error", event => {
      this.#isBroken ||= !(event instanceof ErrorEvent)
      for (const answer of this.#asked.values()) answer([])
      this.#asked.clear()
      onBroken()
    })
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      this.#asked.get(data.number)?.(data.hits)
      this.#asked.delete(data.number)
    })
  }

  put(notes: readonly Searched[]): void {
    this.#tell({ put: notes })
  }

  remove(ids: readonly string[]): void {
    this.#tell({ remove: ids })
  }

  search(text: string): Promise<readonly Hit[]> {
    if (this.#isBroken) return Promise.resolve([])
    const number = ++this.#last
    return new Promise(resolve => {
      this.#asked.set(number, resolve)
      this.#tell({ search: text, number })
    })
  }

  close(): void {
    this.#worker.terminate()
  }

  #tell(told: Told): void {
    this.#worker.postMessage(told)
  }
}
