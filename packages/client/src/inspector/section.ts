import type { Facts } from "./facts.js"
import { h } from "./dom.js"
import { exactly, hue, moment, short } from "./format.js"

/** A part of the inspector. */
export interface Section {
  readonly name: string
  readonly label: string
  readonly element: HTMLElement
  /** How many there are, where that is worth a number. */
  count?(facts: Facts): number
  show(facts: Facts): void
}

/** Terms and what is known of them; what is not known is left out. */
export function terms(rows: readonly (readonly [term: string, known: Node | string | undefined])[]): HTMLElement {
  const known = rows.filter(([, value]) => value !== undefined && value !== "")
  return h("dl", { class: "terms" }, ...known.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))))
}

/** A part of a section. */
export function group(title: string, ...children: readonly (Node | undefined)[]): HTMLElement {
  return h("section", { class: "group" }, h("h3", {}, title), ...children)
}

/** What is said where there is nothing. */
export function nothing(title: string, text: string): HTMLElement {
  return h("div", { class: "nothing" }, h("p", {}, h("strong", {}, title)), h("p", {}, text))
}

/** Who wrote something: this device, or another by the beginning of its replica's id. */
export function writer(replica: string, own: string): HTMLElement {
  const dot = h("span", { class: "dot", "aria-hidden": "true" })
  dot.style.setProperty("--hue", String(hue(replica)))
  const name = replica === own ? "this device" : short(replica)
  return h("span", { class: replica === own ? "writer own" : "writer", title: `replica ${replica}` }, dot, h("span", {}, name))
}

/** When something was, in short; its milliseconds are told when it is pointed at. */
export function when(at: number, now: number): HTMLElement {
  return h("time", { datetime: new Date(at).toISOString(), title: exactly(at) }, moment(at, now))
}

/** An entity, as people call it. */
export function entityName(entity: string, describe: Facts["describe"]): HTMLElement {
  const at = entity.indexOf("/")
  const [collection, id] = [entity.slice(0, Math.max(at, 0)), entity.slice(at + 1)]
  const name = describe(entity)
  const own = name ? h("span", { class: "name" }, name) : h("code", {}, id)
  return h("span", { class: "entity", title: entity }, collection && h("span", { class: "collection" }, collection), own)
}
