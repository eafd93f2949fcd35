import { clientError } from "./error.js"
import { fill, h, rove, setAttribute, setText } from "./inspector/dom.js"
import { Conflicts, People, Replicas } from "./inspector/document.js"
import { gather, type Facts } from "./inspector/facts.js"
import { count, size } from "./inspector/format.js"
import { Operations } from "./inspector/operations.js"
import type { Section } from "./inspector/section.js"
import { style } from "./inspector/style.js"
import { Relay, standing, Storage } from "./inspector/surroundings.js"
import type { DocumentInfo, Workspace } from "./workspace.js"

/** How often it looks again, at most, and at least while the page is seen. */
const APART_MS = 400
const AGAIN_MS = 5_000

/** What an inspector is told. */
export interface InspectorOptions {
  /** The document that is shown first; the first of the workspace unless given. */
  readonly document?: string
  /** What a document is called; its title unless said. */
  readonly nameOf?: (document: DocumentInfo) => string
  /** What people call an entity of a document, such as its title. */
  readonly describe?: (document: string, entity: string) => string | undefined
}

/** An inspector that is shown. */
export interface Inspector {
  /** Its children with `slot="actions"` are shown in its head, such as a button that closes it. */
  readonly element: HTMLElement
  /** Has the keyboard go on there. */
  focus(): void
  /** Ends it, and takes it out of the page. */
  close(): void
}

/**
 * Shows in an element how a workspace is inside, as it changes: operations, what waits, conflicts, the version vector, who is there, the
 * relay, the disk. It takes the colours of `--inspector-ground`, `--inspector-ink`, `--inspector-quiet`, `--inspector-line` and
 * `--inspector-accent`, where an application sets them.
 */
export function mountInspector(place: Element, workspace: Workspace, options: InspectorOptions = {}): Inspector {
  const view = new View(workspace, options)
  place.append(view.element)
  return view
}

class View implements Inspector {
  readonly element = h("div", {})
  readonly #workspace: Workspace
  readonly #options: InspectorOptions
  readonly #sections: readonly Section[] = [
    new Operations("operations", "Operations", false),
    new Operations("waiting", "Waiting", true),
    new Conflicts(),
    new Replicas(),
    new People(),
    new Relay(),
    new Storage(),
  ]
  readonly #documents = h("select", { "aria-label": "Document", onchange: () => this.#choose(this.#documents.value) })
  readonly #standing = h("span", { class: "standing", role: "status" })
  readonly #live = h("button", { type: "button", class: "live", "aria-pressed": "true", onclick: () => this.#pause() }, "Live")
  readonly #tiles = h("dl", { class: "tiles" })
  readonly #tabs: readonly HTMLElement[]
  readonly #panel = h("div", { class: "panel", role: "tabpanel", tabindex: "0" })
  readonly #trouble = h("p", { class: "trouble", role: "alert", hidden: true })
  readonly #ended = new AbortController()
  #shown: Section = this.#sections[0]!
  #id: string | undefined
  #facts: Facts | undefined
  #isLive = true
  #isLooking = false
  #isWanted = false

  constructor(workspace: Workspace, options: InspectorOptions) {
    this.#workspace = workspace
    this.#options = options
    this.#id = options.document
    this.#tabs = this.#sections.map(section => this.#tab(section))
    const tablist = h("div", { class: "tabs", role: "tablist", "aria-label": "What is shown" }, ...this.#tabs)
    rove(tablist, () => this.#tabs, true)
    const head = h(
      "header",
      {},
      this.#documents,
      this.#standing,
      h("span", { class: "space" }),
      this.#live,
      h("slot", { name: "actions" }),
    )
    const root = this.element.attachShadow({ mode: "open" })
    root.adoptedStyleSheets = [style()]
    root.append(head, this.#tiles, tablist, this.#trouble, this.#panel)
    this.#open(this.#shown)
    this.#watch()
  }

  focus(): void {
    this.#tabs[this.#sections.indexOf(this.#shown)]?.focus()
  }

  close(): void {
    this.#ended.abort()
    this.element.remove()
  }

  #watch(): void {
    const look = () => this.#look()
    const ends = [this.#workspace.listen(look), this.#workspace.state.watch(look)]
    const timer = setInterval(() => document.visibilityState === "visible" && this.#look(), AGAIN_MS)
    this.#ended.signal.addEventListener("abort", () => {
      clearInterval(timer)
      for (const end of ends) end()
    })
    look()
  }

  #tab(section: Section): HTMLElement {
    const open = () => this.#open(section)
    const attributes = {
      type: "button",
      role: "tab",
      id: `tab-${section.name}`,
      "aria-controls": "panel",
      onclick: open,
      onfocus: open,
    }
    return h("button", attributes, section.label)
  }

  #open(section: Section): void {
    this.#shown = section
    for (const [at, { name }] of this.#sections.entries()) {
      setAttribute(this.#tabs[at]!, "aria-selected", String(name === section.name))
      setAttribute(this.#tabs[at]!, "tabindex", name === section.name ? "0" : "-1")
    }
    setAttribute(this.#panel, "id", "panel")
    setAttribute(this.#panel, "aria-labelledby", `tab-${section.name}`)
    this.#panel.scrollTop = 0
    fill(this.#panel, section.element)
    if (this.#facts) section.show(this.#facts)
  }

  #choose(id: string): void {
    this.#id = id
    this.#look(true)
  }

  #pause(): void {
    this.#isLive = !this.#isLive
    setAttribute(this.#live, "aria-pressed", String(this.#isLive))
    setText(this.#live, this.#isLive ? "Live" : "Paused")
    this.#look()
  }

  /** Looks again soon, once for all that happens until then. */
  #look(isAsked = false): void {
    if (!this.#isLive && !isAsked && this.#facts) return
    this.#isWanted = true
    if (!this.#isLooking) void this.#lookOn()
  }

  async #lookOn(): Promise<void> {
    this.#isLooking = true
    while (this.#isWanted && !this.#ended.signal.aborted) {
      this.#isWanted = false
      await this.#lookNow()
      await new Promise(resolve => setTimeout(resolve, APART_MS))
    }
    this.#isLooking = false
  }

  async #lookNow(): Promise<void> {
    try {
      const documents = await this.#workspace.documents()
      const id = (documents.find(({ id }) => id === this.#id) ?? documents[0])?.id
      this.#offer(documents, id)
      if (id === undefined) return this.#say("There is no document yet.")
      const facts = await gather(this.#workspace, id, entity => this.#options.describe?.(id, entity))
      if (this.#ended.signal.aborted) return
      this.#show(facts)
      this.#say(undefined)
    } catch (error) {
      // The next look may find another tab that leads.
      this.#say(`It could not be looked into: ${clientError("", error).message}`)
    }
  }

  #offer(documents: readonly DocumentInfo[], id: string | undefined): void {
    const nameOf = this.#options.nameOf ?? (({ title, id }) => title || id)
    const known = documents.map(document => `${document.id} ${nameOf(document)}`).join()
    if (this.#documents.dataset["known"] !== known) {
      this.#documents.dataset["known"] = known
      fill(this.#documents, ...documents.map(document => h("option", { value: document.id }, nameOf(document))))
    }
    if (id !== undefined) this.#documents.value = id
  }

  #show(facts: Facts): void {
    this.#facts = facts
    const { label, kind } = standing(facts.state)
    setAttribute(this.#standing, "data-kind", kind)
    setText(this.#standing, label)
    fill(this.#tiles, ...tiles(facts))
    for (const [at, section] of this.#sections.entries()) {
      const number = section.count?.(facts)
      fill(this.#tabs[at]!, section.label, number ? h("span", { class: "number" }, count(number)) : undefined)
    }
    this.#shown.show(facts)
  }

  #say(trouble: string | undefined): void {
    this.#trouble.hidden = trouble === undefined
    setText(this.#trouble, trouble ?? "")
  }
}

/** What is looked for first. */
function tiles({ inside, state }: Facts): HTMLElement[] {
  const { entities, pending, conflicts, versions, stored, position } = inside
  const rows: readonly (readonly [term: string, value: string, isAlarming?: boolean])[] = [
    ["Entities", count(entities)],
    ["Waiting for the relay", count(pending), state.connection === "denied" && pending > 0],
    ["Waiting for the disk", count(state.unsaved), state.unsaved > 0 && state.trouble !== undefined],
    ["Conflicts", count(conflicts.length)],
    ["Replicas", count(versions.length)],
    ["Relay's log", position ? count(position.next) : "–"],
    ["Stored", size(stored.bytes)],
  ]
  return rows.map(([term, value, isAlarming = false]) =>
    h("div", { class: isAlarming ? "alarming" : undefined }, h("dt", {}, term), h("dd", {}, value)),
  )
}
