import type { Doc, Undo } from "./doc.js"

/** What can be taken back, and what can be done again: the last changes of one person, up to a bound. */
export class UndoStack {
  readonly #done: Undo[] = []
  readonly #undone: Undo[] = []

  constructor(
    readonly doc: Doc,
    readonly limit = 1000,
  ) {}

  /** Makes a change that can be taken back. What was taken back before can not be done again then. */
  change(write: (doc: Doc) => void): void {
    const undo = this.doc.undoable(write)
    if (undo.isEmpty) return
    push(this.#done, undo, this.limit)
    this.#undone.length = 0
  }

  get canUndo(): boolean {
    return this.#done.length > 0
  }

  get canRedo(): boolean {
    return this.#undone.length > 0
  }

  /** Takes the last change back. Returns whether there was one. */
  undo(): boolean {
    return this.#step(this.#done, this.#undone)
  }

  /** Does again what was taken back last. Returns whether there was something. */
  redo(): boolean {
    return this.#step(this.#undone, this.#done)
  }

  #step(from: Undo[], to: Undo[]): boolean {
    const undo = from.pop()
    if (!undo) return false
    push(to, this.doc.undo(undo), this.limit)
    return true
  }
}

function push(stack: Undo[], undo: Undo, limit: number): void {
  stack.push(undo)
  if (stack.length > limit) stack.shift()
}
