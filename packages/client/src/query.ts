import type { LiveChange, Order } from "./rows.js"

/** A row, as queries see it. */
export interface Entry {
  readonly id: string
}

/** What a query asks. */
export interface Question<R extends Entry> {
  readonly collection: string
  readonly filters: readonly ((row: R) => boolean)[]
  readonly order?: { readonly key: (row: R) => Order; readonly isDescending: boolean }
  readonly limit?: number
}

/** Where rows come from. */
export interface Source<R extends Entry> {
  all(): readonly R[]
  get(id: string): R | undefined
}

interface Placed<R> {
  readonly row: R
  readonly key: Order
}

/** A question, and its answers. */
export class RowQuery<R extends Entry> {
  constructor(
    readonly source: Source<R>,
    readonly question: Question<R>,
  ) {}

  where(matches: (row: R) => boolean): RowQuery<R> {
    return this.#with({ filters: [...this.question.filters, matches] })
  }

  orderBy(key: (row: R) => Order, direction: "asc" | "desc" = "asc"): RowQuery<R> {
    return this.#with({ order: { key, isDescending: direction === "desc" } })
  }

  limit(rows: number): RowQuery<R> {
    return this.#with({ limit: rows })
  }

  rows(): readonly R[] {
    return limited(ordered(this.matching(), this.question.order), this.question.limit).map(({ row }) => row)
  }

  count(): number {
    return Math.min(this.source.all().filter(row => this.matches(row)).length, this.question.limit ?? Infinity)
  }

  [Symbol.iterator](): Iterator<R> {
    return this.rows()[Symbol.iterator]()
  }

  matches(row: R): boolean {
    return this.question.filters.every(matches => matches(row))
  }

  /** All rows that match, in the order of their ids, with what they are ordered by. */
  matching(): Placed<R>[] {
    return this.source
      .all()
      .filter(row => this.matches(row))
      .map(row => this.place(row))
  }

  place(row: R): Placed<R> {
    return { row, key: this.question.order?.key(row) }
  }

  #with(more: Partial<Question<R>>): RowQuery<R> {
    return new RowQuery(this.source, { ...this.question, ...more })
  }
}

/** A question that is asked all the time: after a change, only about what changed. */
export class LiveQuery<R extends Entry> {
  #placed: Placed<R>[]
  /** What each row was ordered by when it was placed. */
  readonly #keys = new Map<string, Placed<R>>()
  #shown: readonly R[]

  constructor(readonly query: RowQuery<R>) {
    this.#placed = ordered(query.matching(), query.question.order)
    for (const placed of this.#placed) this.#keys.set(placed.row.id, placed)
    this.#shown = this.#show()
  }

  get rows(): readonly R[] {
    return this.#shown
  }

  /** Asks again about these entities; returns what became of the result, if anything. */
  update(ids: ReadonlySet<string>): LiveChange<R> | undefined {
    const { collection } = this.query.question
    const about = [...ids].filter(id => id.startsWith(`${collection}/`))
    if (about.length === 0) return undefined
    if (about.length > this.#placed.length / 8 || !about.every(id => this.#move(id))) this.#again()
    return this.#told(ids)
  }

  #again(): void {
    this.#placed = ordered(this.query.matching(), this.query.question.order)
    this.#keys.clear()
    for (const placed of this.#placed) this.#keys.set(placed.row.id, placed)
  }

  /** Puts a row where it belongs now; returns whether it was where it belonged before. */
  #move(id: string): boolean {
    const row = this.query.source.get(id)
    const after = row && this.query.matches(row) ? this.query.place(row) : undefined
    const before = this.#keys.get(id)
    const compare = comparison(this.query.question.order?.isDescending)
    if (before && after && compare(before, after) === 0) return true
    if (before) {
      const at = place(this.#placed, before, compare)
      if (this.#placed[at] !== before) return false
      this.#placed.splice(at, 1)
    }
    if (after) {
      this.#placed.splice(place(this.#placed, after, compare), 0, after)
      this.#keys.set(id, after)
    } else this.#keys.delete(id)
    return true
  }

  #told(ids: ReadonlySet<string>): LiveChange<R> | undefined {
    const before = this.#shown
    const rows = this.#show()
    const change = difference(before, rows, ids)
    this.#shown = rows
    return change
  }

  #show(): readonly R[] {
    return limited(this.#placed, this.query.question.limit).map(({ row }) => row)
  }
}

/** What became of a list of rows; undefined: it is the same, and nothing in it changed. */
export function difference<R extends Entry>(
  before: readonly R[],
  rows: readonly R[],
  changed: ReadonlySet<string>,
): LiveChange<R> | undefined {
  const [old, now] = [new Set(before.map(({ id }) => id)), new Set(rows.map(({ id }) => id))]
  const change = {
    rows,
    added: rows.filter(({ id }) => !old.has(id)),
    changed: rows.filter(({ id }) => old.has(id) && changed.has(id)),
    removed: before.filter(({ id }) => !now.has(id)),
  }
  const isSame = change.added.length + change.changed.length + change.removed.length === 0
  return isSame && rows.every((row, at) => row.id === before[at]?.id) ? undefined : change
}

function ordered<R extends Entry>(placed: Placed<R>[], order: Question<R>["order"]): Placed<R>[] {
  return order ? placed.sort(comparison(order.isDescending)) : placed
}

function limited<R>(placed: readonly Placed<R>[], limit = Infinity): readonly Placed<R>[] {
  return placed.length > limit ? placed.slice(0, limit) : placed
}

/** Where a row is, or would be. */
function place<R>(placed: readonly Placed<R>[], row: Placed<R>, compare: (a: Placed<R>, b: Placed<R>) => number): number {
  let [low, high] = [0, placed.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (compare(placed[middle]!, row) < 0) low = middle + 1
    else high = middle
  }
  return low
}

const PEOPLES = new Intl.Collator(undefined, { numeric: true })

function comparison<R extends Entry>(isDescending = false): (a: Placed<R>, b: Placed<R>) => number {
  const sign = isDescending ? -1 : 1
  return (a, b) => sign * compareKeys(a.key, b.key) || (a.row.id < b.row.id ? -1 : a.row.id > b.row.id ? 1 : 0)
}

function compareKeys(a: Order, b: Order): number {
  if (!Array.isArray(a) || !Array.isArray(b)) return compareParts(a as Part, b as Part)
  const parts = Array.from({ length: Math.max(a.length, b.length) }, (_, at) => compareParts(a[at] as Part, b[at] as Part))
  return parts.find(part => part !== 0) ?? 0
}

type Part = string | number | bigint | boolean | undefined

/** What is not there comes first, and no number; texts as people order them. Types that do not compare are apart. */
function compareParts(a: Part, b: Part): number {
  const [one, other] = [rankOf(a), rankOf(b)]
  if (one !== other || a === undefined || b === undefined) return one - other
  if (typeof a === "string" && typeof b === "string") return PEOPLES.compare(a, b)
  return a < b ? -1 : a > b ? 1 : 0
}

function rankOf(part: Part): number {
  if (part === undefined) return 0
  if (typeof part === "string") return 3
  return Number.isNaN(part) ? 1 : 2
}
