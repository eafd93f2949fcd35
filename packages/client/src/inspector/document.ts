import type { Conflict, Peer } from "../workspace.js"
import { fill, h } from "./dom.js"
import type { Facts } from "./facts.js"
import { ago, exactly, short, written } from "./format.js"
import { entityName, group, nothing, when, writer, type Section } from "./section.js"

/** Conflicts that are shown, at most. */
const CONFLICTS_MAX = 100
const PEERS_MAX = 100
/** What somebody shows of themselves is shown as far as this. */
const STATE_CHARS_MAX = 600

/** Fields that several wrote at the same time: what they read as, and what lost. */
export class Conflicts implements Section {
  readonly name = "conflicts"
  readonly label = "Conflicts"
  readonly element = h("div", {})

  count({ inside }: Facts): number {
    return inside.conflicts.length
  }

  show(facts: Facts): void {
    const { conflicts } = facts.inside
    if (conflicts.length === 0) {
      const text =
        "Where several write a field at the same time, what lost is kept, and listed here until somebody writes the field again."
      return fill(this.element, nothing("No conflicts", text))
    }
    fill(this.element, ...conflicts.slice(0, CONFLICTS_MAX).map(conflict => conflictElement(conflict, facts)))
  }
}

function conflictElement({ entity, field, kind, values }: Conflict, { inside, describe, now }: Facts): HTMLElement {
  const line = (value: Conflict["values"][number], at: number) => {
    const counts = at === 0 || kind === "multi"
    return h(
      "li",
      { class: counts ? "counts" : "lost" },
      h("span", { class: "chip" }, counts ? "reads" : "lost"),
      h("span", { class: "value" }, written(value)),
      writer(value.by, inside.replica),
      when(value.at, now),
    )
  }
  const title = h("h3", {}, entityName(entity, describe), h("span", { class: "field" }, field))
  return h("section", { class: "group conflict" }, title, h("ul", {}, ...values.map(line)))
}

/** How much is known of whom. */
export class Replicas implements Section {
  readonly name = "replicas"
  readonly label = "Versions"
  readonly element = h("div", {})

  count({ inside }: Facts): number {
    return inside.versions.length
  }

  show({ inside, now }: Facts): void {
    if (inside.versions.length === 0)
      return fill(this.element, nothing("Nobody wrote yet", "Each device that writes is a replica."))
    const rows = [...inside.versions]
      .sort((one, other) => other.latest - one.latest)
      .map(({ replica, latest }) =>
        h(
          "tr",
          {},
          h("td", {}, writer(replica, inside.replica)),
          h("td", {}, h("code", {}, replica)),
          h("td", {}, h("time", { datetime: new Date(latest).toISOString() }, exactly(latest))),
          h("td", {}, ago(latest, now)),
        ),
      )
    const heads = ["Replica", "Id", "Last operation known here", "Ago"].map(head => h("th", { scope: "col" }, head))
    const lead = h("p", { class: "summary" }, "The version vector: of each replica everything up to this operation is here.")
    fill(
      this.element,
      lead,
      h(
        "div",
        { class: "wide", tabindex: "0", role: "region", "aria-label": "Version vector" },
        h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows)),
      ),
    )
  }
}

/** Who has the document open, and which tabs of this browser do. */
export class People implements Section {
  readonly name = "people"
  readonly label = "Presence"
  readonly element = h("div", { class: "columns" })

  count({ inside }: Facts): number {
    return inside.peers.length
  }

  show(facts: Facts): void {
    const { inside, tabs, tab } = facts
    const peers = inside.peers.slice(0, PEERS_MAX).map(peer => peerElement(peer, facts))
    const none = nothing("Nobody shows anything", "What applications tell others of who is where is listed here.")
    const own = tabs.map(({ id, leads }) =>
      h(
        "li",
        {},
        h("code", {}, short(id)),
        id === tab && h("span", { class: "chip" }, "this tab"),
        leads && h("span", { class: "chip good" }, "leads"),
      ),
    )
    fill(
      this.element,
      group("Present", peers.length > 0 ? h("ul", { class: "peers" }, ...peers) : none),
      group("Tabs of this browser", h("ul", { class: "tabs-here" }, ...own)),
    )
  }
}

function peerElement({ id, state }: Peer, { tab, tabs }: Facts): HTMLElement {
  const where = id === tab ? "this tab" : tabs.some(other => other.id === id) ? "this browser" : "elsewhere"
  const text = JSON.stringify(state, undefined, 1)?.slice(0, STATE_CHARS_MAX) ?? ""
  return h("li", {}, h("code", {}, short(id)), h("span", { class: "chip" }, where), h("pre", {}, text))
}
