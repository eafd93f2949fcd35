/** Notes and what links them. */
export interface Graph {
  readonly ids: readonly string[]
  /** Pairs of places in `ids`. */
  readonly edges: readonly (readonly [from: number, to: number])[]
}

/** Makes a graph of the links of each note; what is linked twice is linked once. */
export function graphOf(links: ReadonlyMap<string, Iterable<string>>): Graph {
  const ids = [...links.keys()]
  const places = new Map(ids.map((id, at) => [id, at]))
  const edges: [number, number][] = []
  const seen = new Set<number>()
  for (const [id, targets] of links) {
    const from = places.get(id) as number
    for (const target of targets) {
      const to = places.get(target)
      if (to === undefined || to === from) continue
      const key = Math.min(from, to) * ids.length + Math.max(from, to)
      if (!seen.has(key)) edges.push([from, to])
      seen.add(key)
    }
  }
  return { ids, edges }
}

/** How far apart notes push each other. */
const REACH = 200
const REPULSION = 2800
const SPRING = 0.07
const LENGTH = 60
const GRAVITY = 0.012
const FRICTION = 0.6
/** Movements below which the picture stands still. */
const STILL = 0.02

/** Where the notes of a graph are: they push each other away, links pull. The same graph always comes to look the same. */
export class Layout {
  readonly x: Float64Array
  readonly y: Float64Array
  readonly degree: Uint32Array
  readonly #vx: Float64Array
  readonly #vy: Float64Array
  #heat = 1

  constructor(readonly graph: Graph) {
    const count = graph.ids.length
    this.x = new Float64Array(count)
    this.y = new Float64Array(count)
    this.#vx = new Float64Array(count)
    this.#vy = new Float64Array(count)
    this.degree = new Uint32Array(count)
    for (const [from, to] of graph.edges) {
      this.degree[from]!++
      this.degree[to]!++
    }
    // A sunflower: nobody stands on another.
    for (let at = 0; at < count; at++) {
      const radius = 24 * Math.sqrt(at + 0.5)
      this.x[at] = radius * Math.cos(at * 2.39996)
      this.y[at] = radius * Math.sin(at * 2.39996)
    }
  }

  /** Moves everything once; returns whether it is still moving. */
  step(): boolean {
    if (this.#heat < STILL) return false
    this.#repel()
    this.#attract()
    const { x, y } = this
    for (let at = 0; at < x.length; at++) {
      const vx = (this.#vx[at]! - x[at]! * GRAVITY) * FRICTION
      const vy = (this.#vy[at]! - y[at]! * GRAVITY) * FRICTION
      x[at]! += clamp(vx) * this.#heat
      y[at]! += clamp(vy) * this.#heat
      this.#vx[at] = vx
      this.#vy[at] = vy
    }
    this.#heat *= 0.985
    return true
  }

  /** Has it move again: a note was dragged. */
  warm(): void {
    this.#heat = Math.max(this.#heat, 0.3)
  }

  /** The note nearest to a place, within this distance. */
  at(x: number, y: number, distance: number): number | undefined {
    let best: number | undefined
    let least = distance * distance
    for (let at = 0; at < this.x.length; at++) {
      const square = (this.x[at]! - x) ** 2 + (this.y[at]! - y) ** 2
      if (square <= least) [best, least] = [at, square]
    }
    return best
  }

  /** Only neighbours push: a grid has those within reach. */
  #repel(): void {
    const cells = this.#cells()
    for (const [key, members] of cells) {
      const [column, row] = [Math.floor(key / SPAN), (key % SPAN) - SPAN / 2]
      for (const [dx, dy] of NEIGHBOURS) {
        const others = cells.get(cellKey(column - SPAN / 2 + dx, row + dy))
        if (others) this.#repelBetween(members, others)
      }
    }
  }

  #cells(): Map<number, number[]> {
    const cells = new Map<number, number[]>()
    for (let at = 0; at < this.x.length; at++) {
      const key = cellKey(Math.floor(this.x[at]! / REACH), Math.floor(this.y[at]! / REACH))
      const members = cells.get(key)
      if (members) members.push(at)
      else cells.set(key, [at])
    }
    return cells
  }

  #repelBetween(members: readonly number[], others: readonly number[]): void {
    for (const one of members) {
      // Of a crowd some stand for all.
      const stride = Math.ceil(others.length / 64)
      for (let at = one % stride; at < others.length; at += stride) {
        const other = others[at] as number
        if (other === one) continue
        const dx = this.x[one]! - this.x[other]! || 0.1
        const dy = this.y[one]! - this.y[other]! || 0.1
        const square = dx * dx + dy * dy
        if (square > REACH * REACH) continue
        const force = (REPULSION * stride) / (square + 100) / Math.sqrt(square)
        this.#vx[one]! += dx * force
        this.#vy[one]! += dy * force
      }
    }
  }

  #attract(): void {
    for (const [from, to] of this.graph.edges) {
      const dx = this.x[to]! - this.x[from]!
      const dy = this.y[to]! - this.y[from]!
      const distance = Math.hypot(dx, dy) || 1
      const force = (SPRING * (distance - LENGTH)) / distance
      const [a, b] = [share(this.degree[from]!), share(this.degree[to]!)]
      this.#vx[from]! += dx * force * a
      this.#vy[from]! += dy * force * a
      this.#vx[to]! -= dx * force * b
      this.#vy[to]! -= dy * force * b
    }
  }
}

/** Cells of the grid in a row. */
const SPAN = 1 << 20

const cellKey = (column: number, row: number) => (column + SPAN / 2) * SPAN + row + SPAN / 2

const NEIGHBOURS = [-1, 0, 1].flatMap(dx => [-1, 0, 1].map(dy => [dx, dy] as const))

const clamp = (velocity: number) => Math.max(-30, Math.min(30, velocity))

/** What many links pull at is heavy. */
const share = (degree: number) => 1 / Math.sqrt(Math.max(1, degree))
