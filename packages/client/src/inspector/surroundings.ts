import type { WorkspaceState } from "../workspace.js"
import { fill, h } from "./dom.js"
import type { Facts, WorkerHere } from "./facts.js"
import { ago, count, exactly, short, size, span, things } from "./format.js"
import { group, nothing, terms, when, type Section } from "./section.js"

/** How it stands with the relay, in words. */
export function standing({ connection, behind }: WorkspaceState): {
  readonly label: string
  readonly kind: "good" | "busy" | "bad" | "none"
} {
  switch (connection) {
    case "none":
      return { label: "No relay", kind: "none" }
    case "offline":
      return { label: "Offline", kind: "none" }
    case "connecting":
      return { label: "Connecting", kind: "busy" }
    case "behind":
      return { label: `Behind by ${count(behind)}`, kind: "busy" }
    case "denied":
      return { label: "Not let in", kind: "bad" }
    case "live":
      return { label: "Connected", kind: "good" }
  }
}

/** The relay, and what happened on the way to it and back. */
export class Relay implements Section {
  readonly name = "relay"
  readonly label = "Relay"
  readonly element = h("div", { class: "columns" })

  show({ inside, state, now }: Facts): void {
    const { position, rights, tokenEnds, clockAheadMs, events, epoch } = inside
    const happened = events.map(({ at, what }) => h("li", {}, when(at, now), h("span", {}, what)))
    fill(
      this.element,
      group(
        "Connection",
        terms([
          ["State", standing(state).label],
          ["Trouble", state.trouble && `${state.trouble.kind}: ${state.trouble.message}`],
          ["Place in its log", position ? `offset ${count(position.next)}` : "never opened"],
          ["Log", position && h("code", {}, position.log)],
          ["Not there yet", things(inside.pending, "operation")],
          [
            "Its clock",
            clockAheadMs === 0
              ? undefined
              : `${span(Math.abs(clockAheadMs))} ${clockAheadMs > 0 ? "ahead of" : "behind"} this device's`,
          ],
          ["Encryption", inside.isEncrypted ? `by members' keys, epoch ${epoch}` : "none"],
          ["This device may", rights?.join(", ") ?? "not known"],
          ["Until", tokenEnds === undefined ? undefined : `${exactly(tokenEnds)}, ${ago(tokenEnds, now)}`],
        ]),
      ),
      group(
        "What happened",
        happened.length > 0
          ? h("ol", { class: "events" }, ...happened)
          : nothing("Nothing unusual", "What is refused, lost or dropped is listed here."),
      ),
    )
  }
}

const FOUND: Readonly<Record<WorkspaceState["found"], string>> = {
  new: "nothing",
  known: "what was stored",
  evicted: "that the browser had thrown it away",
}

/** What is stored, where, and by whom. */
export class Storage implements Section {
  readonly name = "storage"
  readonly label = "Storage"
  readonly element = h("div", { class: "columns" })

  show(facts: Facts): void {
    fill(this.element, this.#document(facts), this.#outbox(facts), this.#disk(facts), this.#worker(facts.worker))
  }

  #document({ inside }: Facts): HTMLElement {
    const { stored, entities, id } = inside
    return group(
      "This document",
      terms([
        ["Stored", `${size(stored.bytes)} in ${things(stored.pieces, "piece")}`],
        ["Entities", count(entities)],
        ["Id", h("code", {}, id)],
        ["Replica", h("code", {}, inside.replica)],
      ]),
    )
  }

  #outbox({ state, tabs, tab }: Facts): HTMLElement {
    const leader = tabs.find(({ leads }) => leads)
    return group(
      "Outbox",
      terms([
        ["Not on the disk yet", things(state.unsaved, "change")],
        ["Not at the relay yet", things(state.pending, "operation")],
        ["Who stores and sends", leader ? (leader.id === tab ? "this tab" : `tab ${short(leader.id)}`) : "nobody at the moment"],
        ["Trouble", state.trouble && `${state.trouble.kind}: ${state.trouble.message}`],
      ]),
    )
  }

  #disk({ disk, state }: Facts): HTMLElement {
    const share = disk && disk.quota > 0 ? disk.used / disk.quota : 0
    const meter = disk && h("meter", { min: 0, max: 1, high: 0.8, value: share, "aria-label": "Share of the quota that is used" })
    return group(
      "This origin",
      disk && h("p", { class: "quota" }, meter, `${size(disk.used)} of ${size(disk.quota)}`),
      terms([
        ...(disk?.parts.map(([name, bytes]) => [PARTS[name] ?? name, size(bytes)] as const) ?? []),
        ["Kept when space is short", disk && (disk.isPersistent ? "yes" : "not promised")],
        ["Kept at all", state.isVolatile ? "no: it ends with the tab" : "yes"],
        ["Found at the start", FOUND[state.found]],
      ]),
    )
  }

  #worker(worker: WorkerHere | undefined): HTMLElement {
    if (!worker) return group("Service worker", nothing("None", "Without one the application needs the network to start."))
    return group(
      "Service worker",
      terms([
        ["State", worker.isUpdateReady ? `${worker.state}; a new version waits` : worker.state],
        ["Script", h("code", {}, new URL(worker.script).pathname)],
        [
          worker.versions.length > 1 ? "Versions here" : "Version",
          h("code", {}, worker.versions.map(short).join(", ") || "no files"),
        ],
      ]),
    )
  }
}

const PARTS: Readonly<Record<string, string>> = {
  indexedDB: "In IndexedDB",
  caches: "In caches",
  serviceWorkerRegistrations: "Service workers",
}
