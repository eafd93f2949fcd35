import * as Y from "yjs"

/** The root of a `Y.Doc` that is the text. */
export const ROOT = "text"

/** Bytes of an update, at most; a document counts its type as well. */
const UPDATE_BYTES_MAX = (768 << 10) - 16

/** What has texts: a `Doc`, or something that stands for one. */
export interface TextSource {
  /** Updates of Yjs that make up a text, the oldest first. */
  textUpdates(entity: string, field: string): Uint8Array[]
  /** Their names, in the same order. */
  textNames(entity: string, field: string): string[]
  pushText(entity: string, field: string, update: Uint8Array): void
  squashText(entity: string, field: string, all: Uint8Array): void
  subscribe(listener: (change: { readonly entities: ReadonlySet<string> | undefined }) => void): () => void
}

/** How a text is bound. */
export interface TextOptions {
  /** The `Y.Doc` of an editor that is there already. What is in it and not in the field is written to the field. */
  ydoc?: Y.Doc
  /** Milliseconds for which what is typed is gathered into one operation. */
  gatherMs?: number
  /** From so many updates on, who writes replaces them by one that contains them. */
  squashAt?: number
  /**
   * Called when the text began afresh, because what was in it was erased or deleted: `ydoc` is another one then, and
   * editors are to be bound to it.
   */
  onReplaced?: (binding: TextBinding) => void
  /** Called with an update that Yjs does not read; the rest is read on. */
  onUnreadable?: (name: string, error: unknown) => void
  /**
   * Called when what was typed cannot be written, as a piece that is too large. It is taken back, for all that was typed behind it would be lost
   * with it: `ydoc` is another one then. Without this, the error is thrown.
   */
  onRefused?: (error: unknown) => void
}

/** The text of a field as a `Y.Text`: for editors that know Yjs. What they write goes into the field, and back. */
export class TextBinding {
  #ydoc: Y.Doc
  readonly #taken = new Set<string>()
  readonly #unreadable = new Set<string>()
  #waiting: Uint8Array[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #squashAt: number
  readonly #unsubscribe: () => void

  constructor(
    readonly doc: TextSource,
    readonly entity: string,
    readonly field: string,
    readonly options: TextOptions = {},
  ) {
    this.#ydoc = options.ydoc ?? new Y.Doc()
    this.#squashAt = options.squashAt ?? 100
    if (!this.#isContained()) {
      const known = Y.encodeStateVector(fresh(this.#updates()))
      this.#waiting.push(Y.encodeStateAsUpdate(this.#ydoc, known))
    }
    this.#pull()
    this.#ydoc.on("update", this.#written)
    this.#unsubscribe = doc.subscribe(({ entities }) => {
      if (!entities || entities.has(entity)) this.#pull()
    })
    this.flush()
  }

  get ydoc(): Y.Doc {
    return this.#ydoc
  }

  get text(): Y.Text {
    return this.#ydoc.getText(ROOT)
  }

  /** The names of updates that Yjs does not read. */
  get unreadable(): ReadonlySet<string> {
    return this.#unreadable
  }

  /** Writes what was typed and still waits. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waiting.length === 0) return
    try {
      while (this.#waiting.length > 0) this.#pushNext()
    } catch (error) {
      this.#refuse(error)
    }
    if (this.#taken.size >= this.#squashAt) this.#squash()
  }

  /** Replaces all updates by one. Returns whether it did: not while there is one that cannot be read, nor where it would be too large. */
  squash(): boolean {
    this.flush()
    return this.#squash()
  }

  #squash(): boolean {
    if (this.#unreadable.size > 0 || this.#taken.size < 2) return false
    const all = Y.encodeStateAsUpdate(this.#ydoc)
    if (all.length > UPDATE_BYTES_MAX) {
      // It is tried again, but not at each letter.
      this.#squashAt = Math.max(this.#squashAt, 2 * this.#taken.size)
      return false
    }
    this.#taken.clear()
    this.#push(() => this.doc.squashText(this.entity, this.field, all))
    return true
  }

  /** Writes as much of what waits as goes into one update. */
  #pushNext(): void {
    let [count, bytes] = [0, 0]
    while (count < this.#waiting.length && (count === 0 || bytes + this.#waiting[count]!.length <= UPDATE_BYTES_MAX)) {
      bytes += this.#waiting[count++]!.length
    }
    const update = Y.mergeUpdates(this.#waiting.slice(0, count))
    this.#push(() => this.doc.pushText(this.entity, this.field, update))
    this.#waiting.splice(0, count)
  }

  #refuse(error: unknown): void {
    this.#replace()
    if (!this.options.onRefused) throw error
    this.options.onRefused(error)
  }

  /** Writes what waits, and ends the binding. The `Y.Doc` stays as it is. */
  destroy(): void {
    try {
      this.flush()
    } finally {
      this.#unsubscribe()
      this.#ydoc.off("update", this.#written)
    }
  }

  readonly #written = (update: Uint8Array, origin: unknown): void => {
    if (origin === this) return
    this.#waiting.push(update)
    this.#timer ??= setTimeout(() => this.flush(), this.options.gatherMs ?? 200)
  }

  /** Writes, and counts what came of it as known: it is in the `Y.Doc`. */
  #push(write: () => void): void {
    const before = new Set(this.#names())
    this.#pushing = true
    try {
      write()
    } finally {
      this.#pushing = false
    }
    for (const name of this.#names()) if (!before.has(name)) this.#taken.add(name)
  }

  #pushing = false

  #pull(): void {
    if (this.#pushing) return
    const names = this.#names()
    const there = new Set(names)
    const gone = [...this.#taken].filter(name => !there.has(name))
    if (gone.length > 0 && !this.#isContained()) return this.#replace()
    for (const name of gone) this.#taken.delete(name)
    for (const name of this.#unreadable) if (!there.has(name)) this.#unreadable.delete(name)
    if (names.every(name => this.#taken.has(name) || this.#unreadable.has(name))) return
    const updates = this.#updates()
    names.forEach((name, at) => {
      const update = updates[at]
      if (update && !this.#taken.has(name) && !this.#unreadable.has(name)) this.#take(name, update)
    })
  }

  #take(name: string, update: Uint8Array): void {
    try {
      Y.applyUpdate(this.#ydoc, update, this)
      this.#taken.add(name)
    } catch (error) {
      this.#unreadable.add(name)
      this.options.onUnreadable?.(name, error)
    }
  }

  /** Whether all that is in the `Y.Doc`, besides what waits, is in the field too: then what is gone was squashed. */
  #isContained(): boolean {
    const known = Y.decodeStateVector(Y.encodeStateVector(fresh(this.#updates())))
    const waiting = this.#waiting.map(update => Y.encodeStateVectorFromUpdate(update)).map(Y.decodeStateVector)
    const own = Y.decodeStateVector(Y.encodeStateVector(this.#ydoc))
    return [...own].every(
      ([client, clock]) => (known.get(client) ?? 0) >= clock || waiting.some(vector => vector.has(client)),
    )
  }

  /** Begins afresh with what is in the field now. What waits was written to what is gone. */
  #replace(): void {
    this.#ydoc.off("update", this.#written)
    this.#waiting = []
    this.#taken.clear()
    this.#unreadable.clear()
    this.#ydoc = new Y.Doc()
    this.#pull()
    this.#ydoc.on("update", this.#written)
    this.options.onReplaced?.(this)
  }

  #names(): string[] {
    return this.doc.textNames(this.entity, this.field)
  }

  #updates(): Uint8Array[] {
    return this.doc.textUpdates(this.entity, this.field)
  }
}

/** Reads the text of a field, without those updates that Yjs does not read. */
export function readText(doc: TextSource, entity: string, field: string): string {
  return readUpdates(doc.textUpdates(entity, field))
}

/** A new text, as an update that is written to a field. */
export function textOf(text: string): Uint8Array {
  const ydoc = new Y.Doc()
  ydoc.getText(ROOT).insert(0, text)
  return Y.encodeStateAsUpdate(ydoc)
}

/** What updates come to, without those that Yjs does not read. */
export function readUpdates(updates: readonly Uint8Array[]): string {
  return writtenAtOnce(updates) ?? fresh(updates).getText(ROOT).toString()
}

/** A text that one update wrote in one go, as most are that were imported: it is read without a `Y.Doc`, which takes far longer. */
function writtenAtOnce([update, ...more]: readonly Uint8Array[]): string | undefined {
  if (!update || more.length > 0) return undefined
  try {
    const { structs, ds } = Y.decodeUpdate(update)
    const [first, ...rest] = structs
    const isWhole = first instanceof Y.Item && rest.length === 0 && first.id.clock === 0 && ds.clients.size === 0
    if (!isWhole || !(first.content instanceof Y.ContentString)) return undefined
    // It lies at the root, and behind nothing that would have to be there.
    const isAlone = (first.parent as unknown) === ROOT && !first.parentSub && !first.origin && !first.rightOrigin
    return isAlone ? first.content.str : undefined
  } catch {
    return undefined
  }
}

/** A `Y.Doc` of these updates, as far as they can be read. */
function fresh(updates: readonly Uint8Array[]): Y.Doc {
  const ydoc = new Y.Doc()
  for (const update of updates) {
    try {
      Y.applyUpdate(ydoc, update)
    } catch {
      // One that cannot be read takes nothing from the others.
    }
  }
  return ydoc
}
