import { listOf, type Edit, type Entity, type FieldEdit } from "./entity.js"
import type { Fields, Value, ValueType } from "./schema.js"
import { isSame, type Content } from "./values.js"

/** Changes of one tab that can be taken back, or done again, at most. */
const STEPS_MAX = 1_000

/** What takes one edit back, as long as the field still reads as the edit left it. */
export interface Inverse {
  readonly edits: readonly Edit[]
  readonly asLongAs?: { readonly id: string; readonly field: string; readonly reads: Content | undefined }
  /** It deletes this entity: as long as nobody else has written to that, and nobody at all in its texts. */
  readonly deletes?: string
  /** It makes this entity again: as long as nobody else has. */
  readonly restores?: string
  /** How much was heard of others when the edit was made. */
  readonly since?: number
}

/** Changes of one tab, in their order. */
export class Changes {
  #done: Inverse[][] = []
  #undone: Inverse[][] = []

  get canUndo(): boolean {
    return this.#done.length > 0
  }

  get canRedo(): boolean {
    return this.#undone.length > 0
  }

  /** A change was made; what was taken back before cannot be done again. */
  did(inverses: Inverse[]): void {
    if (inverses.length === 0) return
    push(this.#done, inverses)
    this.#undone = []
  }

  /** Takes the last change back: `make` makes it, and says what takes that back. Returns whether there was one. */
  undo(make: (inverses: readonly Inverse[]) => Inverse[]): boolean {
    return step(this.#done, this.#undone, make)
  }

  redo(make: (inverses: readonly Inverse[]) => Inverse[]): boolean {
    return step(this.#undone, this.#done, make)
  }
}

function step(from: Inverse[][], to: Inverse[][], make: (inverses: readonly Inverse[]) => Inverse[]): boolean {
  // One of which nothing can be taken back any more would look as if nothing happened.
  let inverses: Inverse[] | undefined
  while ((inverses = from.pop())) {
    const made = make(inverses.toReversed())
    if (made.length === 0) continue
    push(to, made)
    return true
  }
  return false
}

function push(steps: Inverse[][], step: Inverse[]): void {
  steps.push(step)
  if (steps.length > STEPS_MAX) steps.shift()
}

/** What takes an edit back that is about to be made of an entity. Texts have an undo of their own, in the editor. */
export function inverseOf(edit: Edit, before: Entity | undefined, fields: Fields): Inverse | undefined {
  const { id } = edit
  switch (edit.verb) {
    case "delete":
      return before && { edits: restoring(id, before, fields), restores: id }
    case "push":
    case "squash":
    case "create":
      return before ? undefined : deleting(id)
    case "unset":
      return before && { edits: rewriting(edit.id, edit.field, before.fields[edit.field], fields) }
    case "remove": {
      const wasThere = listOf(before?.fields[edit.field]).some(item => isSame(item, edit.value))
      return wasThere ? { edits: [{ ...edit, verb: "write" }] } : undefined
    }
    case "write":
      return before ? takingBack(edit, before) : deleting(id)
  }
}

function deleting(id: string): Inverse {
  return { edits: [{ verb: "delete", id }], deletes: id }
}

function takingBack(edit: FieldEdit, before: Entity): Inverse | undefined {
  const { id, field, kind, value } = edit
  const old = before.fields[field]
  switch (kind) {
    case "lww": {
      const asLongAs = { id, field, reads: value }
      if (old === undefined) return { edits: [{ verb: "unset", id, field, kind }], asLongAs }
      return isSame(old, value) ? undefined : { edits: [{ ...edit, value: old as Value }], asLongAs }
    }
    case "or-set":
      return listOf(old).some(item => isSame(item, value)) ? undefined : { edits: [{ ...edit, verb: "remove" }] }
    case "counter":
      return { edits: [{ ...edit, value: -(value as number | bigint) }] }
    case "multi":
      return {
        edits: old === undefined ? [{ verb: "unset", id, field, kind }] : [{ ...edit, value: listOf(old)[0] as Value }],
        asLongAs: { id, field, reads: [value] },
      }
    default:
      // Sets that only grow, and extremes, never go back.
      return undefined
  }
}

/** Edits that make an entity again as it was. */
export function restoring(id: string, entity: Entity, fields: Fields): Edit[] {
  const texts = Object.entries(entity.texts).flatMap(([field, { names, updates }]) =>
    updates.map((value, at): Edit => ({ verb: "push", id, field, value, name: `${names[at]} again` })),
  )
  const contents = Object.entries(entity.fields).flatMap(([field, content]) => rewriting(id, field, content, fields))
  return [{ verb: "create", id }, ...contents, ...texts]
}

/** Edits that write a field again; one that the schema does not have as what it looks like. */
function rewriting(id: string, field: string, content: Content | undefined, fields: Fields): Edit[] {
  if (content === undefined) return []
  const known = fields[field]
  const kind = known?.kind ?? (Array.isArray(content) ? "or-set" : "lww")
  if (kind === "text") return []
  const values = (Array.isArray(content) ? content : [content]) as Value[]
  return values.map(value => ({ verb: "write", id, field, kind, value, ...floats(known?.type) }))
}

/** How numbers of a field are written. */
export function floats(type: ValueType | undefined): { isFloat?: boolean } {
  return type === "float" ? { isFloat: true } : {}
}
