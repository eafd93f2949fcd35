import { isSameEntity, perform, type Edit, type Entity, type Text, type TextEdit } from "./entity.js"
import { isSame } from "./values.js"

/** Edits of one change, also by what they are about, and the number of the post that they went with. */
interface Waiting {
  readonly edits: readonly Edit[]
  readonly byId: ReadonlyMap<string, readonly Edit[]>
  post: number | undefined
}

/** Something that the tab that leads says of entities; undefined: it is not there. */
export type News = readonly (readonly [id: string, entity: Entity | undefined])[]

/**
 * What a tab shows of a document: what the one that leads has, and over it what this one wrote that the other did not take in yet.
 */
export class Mirror {
  readonly #base = new Map<string, Entity>()
  readonly #shown = new Map<string, Entity>()
  /** Ids in their order, by collection. */
  readonly #ids = new Map<string, string[]>()
  #waiting: Waiting[] = []
  /** What updates of texts were called here before they had names, by entity. */
  readonly #aliases = new Map<string, Map<string, string>>()

  get(id: string): Entity | undefined {
    return this.#shown.get(id)
  }

  /** The ids of a collection's entities, in their order. */
  ids(collection: string): readonly string[] {
    return this.#ids.get(collection) ?? []
  }

  /** Shows an edit. It is gone again at the next `settle` of its entity, unless it is kept. */
  show(edit: Edit): void {
    this.#put(edit.id, perform(this.#shown.get(edit.id), edit))
  }

  /** Keeps edits that were shown until they are taken in. */
  keep(edits: readonly Edit[]): void {
    this.#waiting.push({ edits, byId: grouped(edits), post: undefined })
  }

  /** Shows what counts: what was not kept is gone. */
  settle(ids: Iterable<string>): void {
    for (const id of ids) this.#put(id, this.#reckon(id))
  }

  /** Everything that waits for a post goes with this one. */
  post<T extends { readonly number: number }>(send: (changes: readonly (readonly Edit[])[]) => T): T {
    const taken = this.#waiting.filter(waiting => waiting.post === undefined)
    const sent = send(taken.map(({ edits }) => edits))
    for (const waiting of taken) waiting.post = sent.number
    return sent
  }

  /** Takes in news, in which all posts up to `taken` are. Returns what reads otherwise than before. */
  hear(news: News, taken = 0): Set<string> {
    const own = this.#waiting.filter(({ post }) => post !== undefined && post <= taken)
    this.#waiting = this.#waiting.filter(waiting => !own.includes(waiting))
    const ids = new Set(own.flatMap(({ byId }) => [...byId.keys()]))
    for (const [id, entity] of news) {
      ids.add(id)
      this.#name(id, entity, editsOf(own, id))
      if (entity) this.#base.set(id, this.#aliased(id, entity))
      else this.#base.delete(id)
    }
    return this.#changed(ids)
  }

  /** Begins anew with all that there is. Returns what reads otherwise than before. */
  replace(all: News, taken: number): Set<string> {
    const there = new Set(all.map(([id]) => id))
    const gone = [...this.#base.keys()].filter(id => !there.has(id))
    if (this.#base.size > 0) return this.hear([...all, ...gone.map(id => [id, undefined] as const)], taken)
    for (const [id, entity] of all) if (entity) this.#add(id, entity)
    return new Set([...all.map(([id]) => id), ...this.hear([], taken)])
  }

  /** Ids come in their order: nothing is to be sorted. */
  #add(id: string, entity: Entity): void {
    this.#base.set(id, entity)
    this.#put(id, this.#reckon(id))
  }

  #changed(ids: Iterable<string>): Set<string> {
    const changed = new Set<string>()
    for (const id of ids) {
      const [before, after] = [this.#shown.get(id), this.#reckon(id)]
      if (isSameEntity(before, after)) continue
      changed.add(id)
      this.#put(id, after)
    }
    return changed
  }

  #reckon(id: string): Entity | undefined {
    let entity = this.#base.get(id)
    for (const edit of editsOf(this.#waiting, id)) entity = perform(entity, edit)
    return entity
  }

  #put(id: string, entity: Entity | undefined): void {
    if (this.#shown.has(id) !== (entity !== undefined)) this.#list(id, entity !== undefined)
    if (entity) this.#shown.set(id, entity)
    else this.#shown.delete(id)
  }

  #list(id: string, isThere: boolean): void {
    const collection = id.slice(0, Math.max(id.indexOf("/"), 0))
    const ids = this.#ids.get(collection) ?? []
    this.#ids.set(collection, ids)
    const at = place(ids, id)
    if (!isThere) ids.splice(at, 1)
    else if (at === ids.length) ids.push(id)
    else ids.splice(at, 0, id)
  }

  /** Finds what own updates of texts are called from now on: for who has the text open, they are no others. */
  #name(id: string, entity: Entity | undefined, edits: readonly Edit[]): void {
    const before = this.#aliases.get(id) ?? new Map<string, string>()
    const known = Object.entries(entity?.texts ?? {}).flatMap(([field, { names, updates }]) =>
      names.flatMap((name, at) => {
        const own = edits.filter(edit => isPush(edit, field))
        const alias = before.get(name) ?? own.find(({ value }) => isSame(value, updates[at]))?.name
        return alias === undefined ? [] : [[name, alias] as const]
      }),
    )
    // Those of updates that are not there any more are forgotten.
    if (known.length > 0) this.#aliases.set(id, new Map(known))
    else this.#aliases.delete(id)
  }

  #aliased(id: string, entity: Entity): Entity {
    const aliases = this.#aliases.get(id)
    if (!aliases) return entity
    const name = ({ names, updates }: Text) => ({ names: names.map(name => aliases.get(name) ?? name), updates })
    const texts = Object.entries(entity.texts).map(([field, text]) => [field, name(text)])
    return { ...entity, texts: Object.fromEntries(texts) as Record<string, Text> }
  }
}

function grouped(edits: readonly Edit[]): Map<string, Edit[]> {
  const groups = new Map<string, Edit[]>()
  for (const edit of edits) {
    const group = groups.get(edit.id)
    if (group) group.push(edit)
    else groups.set(edit.id, [edit])
  }
  return groups
}

function editsOf(waiting: readonly Waiting[], id: string): readonly Edit[] {
  return waiting.flatMap(({ byId }) => byId.get(id) ?? [])
}

function isPush(edit: Edit, field: string): edit is TextEdit {
  return (edit.verb === "push" || edit.verb === "squash") && edit.field === field
}

/** Where an id is, or would be. */
function place(ids: readonly string[], id: string): number {
  let [low, high] = [0, ids.length]
  // Most often it is the last.
  if (high > 0 && ids[high - 1]! < id) return high
  while (low < high) {
    const middle = (low + high) >> 1
    if (ids[middle]! < id) low = middle + 1
    else high = middle
  }
  return low
}
