import type { App } from "../app.js"
import { titleOf } from "../model/vault.js"
import { graphOf, Layout, type Graph } from "../notes/graph.js"
import { h, iconButton, setText, whenQuiet } from "./dom.js"

/** A note is as large as it has links, between these. */
const RADIUS = { least: 3, most: 14 }
/** Titles are written where there is room for them. */
const LABEL_SCALE = 1.1
const ZOOM = { least: 0.1, most: 4 }
/** The picture is made anew when nobody has written for so long. */
const QUIET_MS = 500
const STEPS_FIRST = 120

/** All notes and their links, to be looked at, dragged and walked through. */
export class GraphView {
  readonly #canvas = h("canvas", {
    tabindex: "0",
    role: "application",
    "aria-label": "Graph of notes. Arrows go along links, Enter opens the note.",
  })
  readonly #said = h("p", { class: "visually-hidden", role: "status" })
  readonly #legend = h("p", { class: "legend" })
  readonly element: HTMLElement
  #graph: Graph = { ids: [], edges: [] }
  #layout = new Layout(this.#graph)
  #neighbours: readonly (readonly number[])[] = []
  #view = { x: 0, y: 0, scale: 1 }
  #at: number | undefined
  #dragged: { node: number | undefined; x: number; y: number; isMoved: boolean } | undefined
  #isRunning = false
  #isShown = false
  #colors: Colors | undefined
  readonly #pointers = new Map<number, { x: number; y: number }>()
  readonly #renew = whenQuiet(QUIET_MS, () => this.#isShown && this.#load())

  constructor(
    readonly app: App,
    readonly doing: { onBack(): void; onMenu(): void },
  ) {
    const back = iconButton("back", "Back to the list", { class: "icon-button back", onclick: doing.onBack })
    const menu = iconButton("sidebar", "Show the sidebar", { class: "icon-button show-sidebar", onclick: doing.onMenu })
    const fit = iconButton("graph", "Show all", { onclick: () => (this.#fit(), this.#run()) })
    const head = h("header", {}, back, menu, h("h2", {}, "Graph"), h("span", { class: "space" }), fit)
    this.element = h(
      "section",
      { class: "graph", "aria-label": "Graph", hidden: true },
      head,
      this.#canvas,
      this.#legend,
      this.#said,
    )
    new ResizeObserver(() => this.#isShown && this.#draw()).observe(this.#canvas)
    this.#listen()
    app.onVault(change => (!change || change.isLinks) && this.#renew())
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolor())
  }

  show(isShown: boolean): void {
    if (isShown === this.#isShown) return
    this.#isShown = isShown
    this.element.hidden = !isShown
    if (isShown) this.#load()
  }

  recolor(): void {
    this.#colors = undefined
    if (this.#isShown) this.#draw()
  }

  #load(): void {
    const { vault } = this.app
    const at = this.#at === undefined ? undefined : this.#graph.ids[this.#at]
    this.#graph = graphOf(vault.links())
    this.#layout = new Layout(this.#graph)
    const neighbours: number[][] = this.#graph.ids.map(() => [])
    for (const [from, to] of this.#graph.edges) {
      neighbours[from]?.push(to)
      neighbours[to]?.push(from)
    }
    this.#neighbours = neighbours
    const found = this.#graph.ids.indexOf(at ?? this.app.place.note ?? "")
    this.#at = found < 0 ? undefined : found
    setText(this.#legend, `${count(this.#graph.ids.length, "note")}, ${count(this.#graph.edges.length, "link")}`)
    // Most of the way before it is first seen; for as long as that is quick.
    const end = performance.now() + 40
    for (let step = 0; step < STEPS_FIRST && performance.now() < end; step++) this.#layout.step()
    this.#fit()
    this.#run()
  }

  /** Moves and draws until everything stands still. */
  #run(): void {
    if (this.#isRunning || !this.#isShown) return
    this.#isRunning = true
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches
    const frame = () => {
      let isMoving = this.#layout.step()
      const end = performance.now() + 10
      while (isCalm && isMoving && performance.now() < end) isMoving = this.#layout.step()
      if (!this.#dragged) this.#follow()
      this.#draw()
      this.#isRunning = isMoving && this.#isShown
      if (this.#isRunning) requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  }

  #isFitting = true

  #follow(): void {
    if (this.#isFitting) this.#fit()
  }

  /** Has everything in the window. */
  #fit(): void {
    this.#isFitting = true
    const { x, y } = this.#layout
    const { clientWidth: width, clientHeight: height } = this.#canvas
    if (x.length === 0 || width === 0) return
    const [left, right] = extent(x)
    const [top, bottom] = extent(y)
    const scale = Math.min(1.6, (width - 80) / Math.max(1, right - left), (height - 80) / Math.max(1, bottom - top))
    this.#view = { x: width / 2 - ((left + right) / 2) * scale, y: height / 2 - ((top + bottom) / 2) * scale, scale }
  }

  #draw(): void {
    const canvas = this.#canvas
    const context = canvas.getContext("2d")
    const ratio = devicePixelRatio || 1
    const { clientWidth: width, clientHeight: height } = canvas
    if (!context || width === 0) return
    if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
      canvas.width = width * ratio
      canvas.height = height * ratio
    }
    this.#colors ??= readColors(canvas)
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, width, height)
    this.#drawEdges(context, this.#colors)
    this.#drawNodes(context, this.#colors, width, height)
  }

  #drawEdges(context: CanvasRenderingContext2D, colors: Colors): void {
    const isNear = ([from, to]: readonly [number, number]) => from === this.#at || to === this.#at
    const stroke = (edges: readonly (readonly [number, number])[], color: string, width: number) => {
      context.strokeStyle = color
      context.lineWidth = width
      context.beginPath()
      for (const [from, to] of edges) {
        context.moveTo(...this.#screen(from))
        context.lineTo(...this.#screen(to))
      }
      context.stroke()
    }
    const { edges } = this.#graph
    stroke(
      edges.filter(edge => !isNear(edge)),
      colors.line,
      1,
    )
    stroke(edges.filter(isNear), colors.accent, 1.5)
  }

  #drawNodes(context: CanvasRenderingContext2D, colors: Colors, width: number, height: number): void {
    const near = new Set(this.#at === undefined ? [] : [this.#at, ...(this.#neighbours[this.#at] ?? [])])
    context.font = `12px ${colors.font}`
    context.textAlign = "center"
    for (let at = 0; at < this.#graph.ids.length; at++) {
      const [x, y] = this.#screen(at)
      if (x < -50 || y < -50 || x > width + 50 || y > height + 50) continue
      const radius = this.#radius(at)
      context.fillStyle = at === this.#at ? colors.accent : near.has(at) ? colors.ink : colors.node
      context.beginPath()
      context.arc(x, y, radius, 0, 2 * Math.PI)
      context.fill()
      const isNamed = near.has(at) || this.#view.scale >= LABEL_SCALE || (this.#layout.degree[at] ?? 0) >= 8
      if (!isNamed && this.#graph.ids.length > 60) continue
      context.fillStyle = near.has(at) ? colors.ink : colors.quiet
      context.fillText(short(this.#titleAt(at)), x, y + radius + 14)
    }
  }

  #titleAt(at: number): string {
    return titleOf(this.app.vault.note(this.#graph.ids[at] ?? ""))
  }

  #radius(at: number): number {
    const size = RADIUS.least + Math.sqrt(this.#layout.degree[at] ?? 0) * 2
    return Math.min(RADIUS.most, size) * Math.min(1.2, Math.max(0.5, this.#view.scale))
  }

  #screen(at: number): [x: number, y: number] {
    const { x, y, scale } = this.#view
    return [x + (this.#layout.x[at] ?? 0) * scale, y + (this.#layout.y[at] ?? 0) * scale]
  }

  #nodeAt({ offsetX, offsetY }: MouseEvent): number | undefined {
    const { x, y, scale } = this.#view
    return this.#layout.at((offsetX - x) / scale, (offsetY - y) / scale, 18 / scale)
  }

  #listen(): void {
    const canvas = this.#canvas
    canvas.addEventListener("pointerdown", event => this.#down(event))
    canvas.addEventListener("pointermove", event => this.#move(event))
    for (const type of ["pointerup", "pointercancel"] as const) canvas.addEventListener(type, event => this.#up(event))
    canvas.addEventListener("wheel", event => {
      event.preventDefault()
      this.#zoom(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY)
    })
    canvas.addEventListener("keydown", event => this.#key(event))
  }

  #down(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId)
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY })
    this.#dragged = { node: this.#nodeAt(event), x: event.offsetX, y: event.offsetY, isMoved: false }
  }

  #move(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId)
    if (!before) return this.#point(this.#nodeAt(event))
    const here = { x: event.offsetX, y: event.offsetY }
    const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place)
    this.#pointers.set(event.pointerId, here)
    if (other) return this.#zoom(distance(here, other) / Math.max(1, distance(before, other)), other.x, other.y)
    const drag = this.#dragged
    if (!drag || (!drag.isMoved && distance(here, drag) < 4)) return
    drag.isMoved = true
    this.#isFitting = false
    if (drag.node !== undefined) this.#drag(drag.node, here)
    else this.#view = { ...this.#view, x: this.#view.x + here.x - before.x, y: this.#view.y + here.y - before.y }
    this.#draw()
  }

  #drag(node: number, { x, y }: { x: number; y: number }): void {
    this.#layout.x[node] = (x - this.#view.x) / this.#view.scale
    this.#layout.y[node] = (y - this.#view.y) / this.#view.scale
    this.#layout.warm()
    this.#run()
  }

  #up(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId)
    const drag = this.#dragged
    this.#dragged = undefined
    if (event.type === "pointerup" && drag && !drag.isMoved && drag.node !== undefined) this.#open(drag.node)
  }

  #zoom(by: number, x: number, y: number): void {
    this.#isFitting = false
    const scale = Math.max(ZOOM.least, Math.min(ZOOM.most, this.#view.scale * by))
    const grown = scale / this.#view.scale
    this.#view = { x: x - (x - this.#view.x) * grown, y: y - (y - this.#view.y) * grown, scale }
    this.#draw()
  }

  #point(at: number | undefined): void {
    this.#canvas.classList.toggle("pointing", at !== undefined)
    if (at === this.#at || at === undefined) return
    this.#at = at
    this.#draw()
  }

  #open(at: number): void {
    const id = this.#graph.ids[at]
    if (id !== undefined) this.app.show(id)
  }

  /** An arrow goes to the note that lies there: one that is linked, or else the nearest. */
  #key(event: KeyboardEvent): void {
    const way = (
      { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] } as Record<string, [number, number]>
    )[event.key]
    const middle = [this.#canvas.clientWidth / 2, this.#canvas.clientHeight / 2] as const
    if (event.key === "Enter" && this.#at !== undefined) this.#open(this.#at)
    else if (event.key === "+") this.#zoom(1.25, ...middle)
    else if (event.key === "-") this.#zoom(0.8, ...middle)
    else if (way) this.#walk(way)
    else return
    event.preventDefault()
  }

  #walk([dx, dy]: [number, number]): void {
    const from = this.#at
    if (from === undefined) this.#at = this.#graph.ids.length > 0 ? 0 : undefined
    else {
      const linked = this.#neighbours[from] ?? []
      const all = this.#graph.ids.map((_, at) => at)
      this.#at = this.#towards(from, linked, dx, dy) ?? this.#towards(from, all, dx, dy) ?? from
    }
    if (this.#at === undefined) return
    const links = count(this.#neighbours[this.#at]?.length ?? 0, "link")
    this.#said.textContent = `${this.#titleAt(this.#at)}, ${links}`
    this.#draw()
  }

  #towards(from: number, others: readonly number[], dx: number, dy: number): number | undefined {
    let [best, least] = [undefined as number | undefined, Infinity]
    for (const at of others) {
      const x = (this.#layout.x[at] ?? 0) - (this.#layout.x[from] ?? 0)
      const y = (this.#layout.y[at] ?? 0) - (this.#layout.y[from] ?? 0)
      const [along, across] = [x * dx + y * dy, Math.abs(x * dy) + Math.abs(y * dx)]
      if (at !== from && along > across && along + 2 * across < least) [best, least] = [at, along + 2 * across]
    }
    return best
  }
}

interface Colors {
  readonly line: string
  readonly node: string
  readonly ink: string
  readonly quiet: string
  readonly accent: string
  readonly font: string
}

function readColors(element: Element): Colors {
  const style = getComputedStyle(element)
  const of = (name: string) => style.getPropertyValue(name).trim()
  return {
    line: of("--line-strong"),
    node: of("--node"),
    ink: of("--ink"),
    quiet: of("--quiet"),
    accent: of("--accent"),
    font: style.fontFamily,
  }
}

function extent(values: Float64Array): [least: number, most: number] {
  let [least, most] = [Infinity, -Infinity]
  for (const value of values) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  return [least, most]
}

const distance = (one: { x: number; y: number }, other: { x: number; y: number }) => Math.hypot(one.x - other.x, one.y - other.y)
const short = (title: string) => (title.length > 28 ? `${title.slice(0, 27)}…` : title)
const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`
