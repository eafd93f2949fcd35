import type { Collections, Field, Fields } from "./schema.js"
import type { TextField } from "./text-field.js"

/** A set as it is now; changing it is an edit. */
export interface SetField<T> extends Iterable<T> {
  readonly size: number
  has(value: T): boolean
  values(): readonly T[]
  add(value: T): void
  /** Takes a value out; a set that only grows refuses as `invalid`. */
  delete(value: T): void
  /** Adds what is missing, and takes out what is not in `values`. */
  replace(values: Iterable<T>): void
}

/** A sum as it is now. */
export interface CounterField {
  readonly value: number
  /** Adds to it; a negative number takes away. */
  add(by: number): void
}

/** Values that were written at the same time; setting one replaces all that were seen. */
export interface MultiField<T> extends Iterable<T> {
  values(): readonly T[]
  set(value: T): void
}

type Keys<F extends Fields, K extends string> = { [N in keyof F]: F[N]["kind"] extends K ? N : never }[keyof F]
type ValueOf<D> = D extends Field<infer _, infer T> ? T : never

/** An entity: reading is from memory, setting a property is an edit. There is one object for each, for as long as the document is open. */
export type Row<F extends Fields = Fields> = {
  readonly id: string
  /** Whether it is there: an entity that was deleted reads as if nobody had written to it. */
  readonly exists: boolean
} & { -readonly [N in Keys<F, "lww" | "max" | "min">]: ValueOf<F[N]> } & {
  readonly [N in Keys<F, "or-set" | "grow-set">]: SetField<ValueOf<F[N]>>
} & { readonly [N in Keys<F, "multi">]: MultiField<ValueOf<F[N]>> } & {
  readonly [N in Keys<F, "counter">]: CounterField
} & { readonly [N in Keys<F, "text">]: TextField }

/** What an entity is made from: lists for sets, a number for a counter, for a text what `textOf` of `@selvedge/client/text` makes. */
export type Input<F extends Fields = Fields> = { readonly [N in Keys<F, "lww" | "max" | "min" | "multi">]?: ValueOf<F[N]> } & {
  readonly [N in Keys<F, "or-set" | "grow-set">]?: Iterable<ValueOf<F[N]>>
} & { readonly [N in Keys<F, "counter">]?: number } & { readonly [N in Keys<F, "text">]?: Uint8Array }

/** Entities of one collection. Ids are `collection/rest`; wherever one is asked for, the rest alone does too. */
export interface Collection<F extends Fields = Fields> extends Iterable<Row<F>> {
  readonly name: string
  readonly size: number
  /** Makes an entity and returns its id, which is drawn unless it is given. One that is there is changed. */
  insert(fields: Input<F>, id?: string): string
  /** Changes several fields at once. */
  update(id: string, fields: Input<F>): void
  get(id: string): Row<F> | undefined
  has(id: string): boolean
  /** Deletes an entity. What somebody else writes to it at the same time brings it back. */
  delete(id: string): void
  /** All entities, in the order of their ids. */
  all(): readonly Row<F>[]
  /** Those for which `matches` says yes. It may look at nothing but its argument: then a live query asks again only about what changed. */
  where(matches: (row: Row<F>) => boolean): Query<F>
  orderBy(key: (row: Row<F>) => Order, direction?: "asc" | "desc"): Query<F>
}

/** What rows are ordered by. */
export type Order = string | number | bigint | boolean | undefined | readonly (string | number | bigint | boolean | undefined)[]

/** A question that can be asked once (`rows`), or all the time (`doc.live`). */
export interface Query<F extends Fields = Fields> extends Iterable<Row<F>> {
  where(matches: (row: Row<F>) => boolean): Query<F>
  /** Orders by what `key` says; texts as people of the browser's language do. Equal ones are in the order of their ids. */
  orderBy(key: (row: Row<F>) => Order, direction?: "asc" | "desc"): Query<F>
  limit(rows: number): Query<F>
  rows(): readonly Row<F>[]
  count(): number
}

/** What became of a live query. The first call has all rows as `added`. */
export interface LiveChange<R> {
  readonly rows: readonly R[]
  readonly added: readonly R[]
  /** In the result before and now, and something of it changed. */
  readonly changed: readonly R[]
  readonly removed: readonly R[]
}

/** Who changed something: this tab, another one of this browser, or another device. */
export type Origin = "local" | "tab" | "remote"

/** What happened to a document. */
export interface DocumentChange {
  /** The ids of what may have changed. */
  readonly entities: ReadonlySet<string>
  readonly origin: Origin
}

/** The collections of a document, by name. */
export type CollectionsOf<S extends Collections> = { readonly [C in keyof S]: Collection<S[C]> }
