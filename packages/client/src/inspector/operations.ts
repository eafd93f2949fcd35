import type { Operation } from "../workspace.js"
import { fill, h, rove, setAttribute, setText } from "./dom.js"
import type { Facts } from "./facts.js"
import { ago, count, deed, exactly, size, things, written } from "./format.js"
import { entityName, nothing, terms, when, writer, type Section } from "./section.js"

/** Rows that are made at a time. */
const ROWS = 200

/** Whose operations are shown. */
type Whose = "all" | "own" | "others"

const WHOSE: readonly (readonly [Whose, string])[] = [
  ["all", "Everybody"],
  ["own", "This device"],
  ["others", "Others"],
]

/** A row that was made. What changes of it is shown in it: somebody may have it open, or be about to press it. */
interface Made {
  readonly element: HTMLElement
  readonly show: (now: number, isMarked: boolean) => void
}

/** Operations, the newest first, with a search; either all that count, or those that the relay does not have. */
export class Operations implements Section {
  readonly element: HTMLElement
  readonly #search: HTMLInputElement
  readonly #whose: HTMLElement
  readonly #summary = h("p", { class: "summary", role: "status" })
  readonly #list = h("ol", { class: "operations" })
  readonly #more = h("button", { type: "button", class: "more", onclick: () => this.#showMore() }, "Show more")
  readonly #empty = h("div", {})
  readonly #made = new Map<string, Made>()
  #facts: Facts | undefined
  #isOf: Whose = "all"
  #shown = ROWS

  constructor(
    readonly name: string,
    readonly label: string,
    readonly isWaiting: boolean,
  ) {
    const search = { type: "search", placeholder: "Entity, field, value or replica", "aria-label": "Search operations" }
    this.#search = h("input", { ...search, autocomplete: "off", spellcheck: "false", oninput: () => this.#again() })
    this.#whose = h(
      "div",
      { class: "choice", role: "group", "aria-label": "Whose operations" },
      ...WHOSE.map(whose => this.#choice(whose)),
    )
    const tools = h("div", { class: "tools" }, this.#search, isWaiting ? undefined : this.#whose)
    const heads = ["When", "Who", "Entity", "Field", "What"].map(head => h("span", {}, head))
    const head = h("div", { class: "row head", "aria-hidden": "true" }, ...heads)
    this.element = h("div", { class: "log" }, tools, this.#summary, head, this.#list, this.#more, this.#empty)
    rove(this.#list, () => [...this.#list.querySelectorAll<HTMLElement>(".row")])
  }

  count({ inside }: Facts): number {
    return this.isWaiting ? inside.pending : inside.log.length
  }

  show(facts: Facts): void {
    if (this.#facts?.inside.id !== facts.inside.id) this.#made.clear()
    this.#facts = facts
    const all = this.isWaiting ? [...facts.inside.waiting].reverse() : together(facts)
    const found = all.filter(this.#filter(facts))
    this.#forget(new Set(all.map(keyOf)))
    const waiting = new Set(facts.inside.waiting.map(keyOf))
    const seen = found.slice(0, this.#shown)
    const rows = seen.map(operation => this.#row(operation, facts))
    fill(this.#list, ...rows.map(({ element }) => element))
    rows.forEach(({ show }, at) => show(facts.now, !this.isWaiting && waiting.has(keyOf(seen[at]!))))
    this.#oneStop()
    setText(this.#summary, this.#sum(all.length, found.length))
    this.#more.hidden = found.length <= this.#shown
    setText(this.#more, `Show ${count(Math.min(ROWS, found.length - this.#shown))} more`)
    fill(this.#empty, found.length === 0 && this.#nothing(all.length))
    for (const part of this.element.querySelectorAll<HTMLElement>(".head, ol")) part.hidden = found.length === 0
  }

  #choice([whose, label]: readonly [Whose, string]): HTMLElement {
    const choose = () => {
      this.#isOf = whose
      ;[...this.#whose.children].forEach((button, at) => setAttribute(button, "aria-pressed", String(WHOSE[at]![0] === whose)))
      this.#again()
    }
    return h("button", { type: "button", "aria-pressed": String(whose === this.#isOf), onclick: choose }, label)
  }

  #again(): void {
    this.#shown = ROWS
    if (this.#facts) this.show(this.#facts)
  }

  #showMore(): void {
    const first = this.#list.children.length
    this.#shown += ROWS
    if (this.#facts) this.show(this.#facts)
    this.#list.children[first]?.querySelector("button")?.focus()
  }

  #filter({ inside, describe }: Facts): (operation: Operation) => boolean {
    const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean)
    const isOf = (by: string) => this.#isOf === "all" || (by === inside.replica) === (this.#isOf === "own")
    return operation => {
      if (!isOf(operation.by)) return false
      const { entity, field = "", by } = operation
      const text = [entity, describe(entity), field, deed(operation), by].join(" ").toLowerCase()
      return words.every(word => text.includes(word))
    }
  }

  #sum(all: number, found: number): string {
    if (found < all) return `${count(found)} of ${things(all, "operation")}`
    return `${things(all, "operation")}${this.isWaiting ? " to be sent" : ", the newest first"}`
  }

  #nothing(all: number): HTMLElement {
    if (all > 0) return nothing("Nothing found", "No operation has all of these words.")
    if (this.isWaiting) return nothing("Nothing waits", "The relay has everything that was written here.")
    return nothing("Nothing was written yet", "Operations are listed here as they are made.")
  }

  #row(operation: Operation, facts: Facts): Made {
    const key = keyOf(operation)
    const made = this.#made.get(key) ?? rowOf(operation, facts)
    this.#made.set(key, made)
    return made
  }

  #forget(kept: ReadonlySet<string>): void {
    for (const key of [...this.#made.keys()]) if (!kept.has(key)) this.#made.delete(key)
  }

  /** Tab comes to one row; arrow keys go on from there. */
  #oneStop(): void {
    const stops = [...this.#list.querySelectorAll<HTMLElement>(".row")]
    if (!stops.some(({ tabIndex }) => tabIndex === 0)) stops[0]?.setAttribute("tabindex", "0")
  }
}

const keyOf = ({ by, seq }: Operation) => `${by}:${seq}`

/** What counts, and what waits and left nothing that counts, such as deletions. */
function together({ inside }: Facts): Operation[] {
  const known = new Set(inside.log.map(keyOf))
  const left = inside.waiting.filter(operation => !known.has(keyOf(operation)))
  return left.length === 0 ? [...inside.log] : [...left, ...inside.log].sort((one, other) => other.at - one.at)
}

function rowOf(operation: Operation, { inside, describe, now }: Facts): Made {
  const { at, by, entity, field } = operation
  const time = h("span", {}, when(at, now))
  const what = h("span", { class: "what" })
  const name = h("span", {})
  const row = h("button", { type: "button", class: "row", tabindex: "-1", "aria-expanded": "false" }, [
    time,
    writer(by, inside.replica),
    name,
    h("span", { class: "field" }, field || "—"),
    what,
  ])
  const element = h("li", {}, row)
  row.addEventListener("click", () => {
    const isOpen = row.getAttribute("aria-expanded") === "true"
    setAttribute(row, "aria-expanded", String(!isOpen))
    fill(element, row, !isOpen && detail(operation, inside.replica))
  })
  // What it is called may change, today becomes yesterday, and what waits is sent.
  let called: string | undefined
  let wasMarked: boolean | undefined
  const show = (now: number, isMarked: boolean) => {
    if (isMarked !== wasMarked) fill(what, isMarked && h("span", { class: "chip" }, "waiting"), deed(operation))
    wasMarked = isMarked
    const known = describe(entity)
    if (known !== called || !name.firstChild) fill(name, entityName(entity, describe))
    called = known
    setText(time.firstElementChild!, when(at, now).textContent)
  }
  return { element, show }
}

function detail(operation: Operation, own: string): HTMLElement {
  const { at, by, seq, entity, field, kind, value, bytes } = operation
  return h(
    "div",
    { class: "detail" },
    terms([
      [
        "Value",
        value === undefined && bytes === undefined
          ? undefined
          : h("code", {}, bytes === undefined ? written(operation) : size(bytes)),
      ],
      ["Entity", h("code", {}, entity)],
      ["Field", field ? `${field} (${kind ?? "unknown"})` : undefined],
      ["Written", `${exactly(at)}, ${ago(at, Date.now())}`],
      ["By", h("code", {}, by === own ? `${by} (this device)` : by)],
      ["Number", count(seq)],
    ]),
  )
}
