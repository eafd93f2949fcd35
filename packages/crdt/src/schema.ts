import { Schema as Core } from "./core.js"
import type { Batch } from "./batch.js"
import { kindNumber, type Kind } from "./values.js"

/** A type of values. */
export type ValueType = keyof typeof TYPES

const TYPES = { null: 1, bool: 2, int: 4, float: 8, text: 16, bytes: 32 } as const

/** What may be in a field: its kind, and the types of its values. Counters and text need none. */
export interface FieldDefinition {
  kind: Kind
  types?: readonly ValueType[]
}

/** A type of entities: its fields, and what a deletion does to an edit at the same time. */
export interface EntityDefinition {
  fields: { readonly [field: string]: FieldDefinition }
  onDelete?: "edits-revive" | "deletion-wins"
}

/** The types of a document's entities, by the part of their ids before the first `/`. */
export interface SchemaDefinition {
  readonly [type: string]: EntityDefinition
}

/** What an application expects of its documents. It is asked when something is written or admitted, never in a merge. */
export class Schema {
  /** @internal */
  readonly core = new Core()

  constructor(readonly definition: SchemaDefinition) {
    for (const [type, { fields, onDelete }] of Object.entries(definition)) {
      this.core.entity(type, onDelete === "deletion-wins")
      for (const [name, { kind, types }] of Object.entries(fields)) {
        this.core.field(name, kindNumber(kind), (types ?? []).reduce((bits, of) => bits | TYPES[of], 0))
      }
    }
  }

  /** Throws at the first operation of a batch that does not fit. */
  check(batch: Batch): void {
    this.core.check(batch.core)
  }

  /** What keeps this schema from following an older one, if documents of both are to be one. */
  breaks(older: Schema): string[] {
    return this.core.breaks(older.core)
  }
}
