import { leaveWords } from "./last-words.js"
import type { Tabs } from "./tabs.js"

/** What a page does when it goes: what is not stored by then it leaves where the next tab that leads finds it. */
export class Leaving {
  readonly #name: string
  readonly #tabs: Tabs
  readonly #ended = new AbortController()
  readonly #endStatus: () => void
  #isLeft = false

  constructor(name: string, tabs: Tabs) {
    this.#name = name
    this.#tabs = tabs
    const { signal } = this.#ended
    // Browsers differ in what they say first, and texts are written at either.
    window.addEventListener("pagehide", () => this.leave(), { signal })
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.leave(), { signal })
    this.#endStatus = tabs.status.watch(({ waiting }) => waiting === 0 && this.#takeBack())
  }

  /** Leaves what is not stored; returns whether all of it could be. */
  leave(): boolean {
    const { isVolatile, waiting } = this.#tabs.status.value
    if (waiting === 0) return true
    // Where nothing outlives the tab, neither does this.
    const isLeft = !isVolatile && leaveWords(this.#name, { tab: this.#tabs.id, posts: this.#tabs.unstored })
    this.#isLeft ||= isLeft
    return isLeft
  }

  end(): void {
    this.#endStatus()
    this.#ended.abort()
  }

  /** It is stored, and nothing is left. */
  #takeBack(): void {
    if (this.#isLeft) leaveWords(this.#name, { tab: this.#tabs.id, posts: [] })
    this.#isLeft = false
  }
}
