import type { Peer } from "@selvedge/client"
import type { App } from "../app.js"
import { settings } from "../settings.js"
import type { Caret, OtherCaret } from "./editor.js"
import { fill, h, whenQuiet } from "./dom.js"

/** Where somebody is, as tabs show each other. */
interface Shown {
  readonly person: string
  readonly note: string | undefined
  readonly caret: Caret | undefined
}

/** Carets are not shown for each letter. */
const SHOW_MS = 120
const COLORS = 6
const NAME_MAX = 40
/** More people than this are a number. */
const FACES = 4

/** Who else looks at the note, and where they write. */
export class People {
  readonly element = h("div", { class: "people", role: "group", "aria-label": "Also here", hidden: true })
  #shown: Shown = { person: "", note: undefined, caret: undefined }
  #end: (() => void) | undefined
  readonly #tell = whenQuiet(SHOW_MS, () => this.app.hasVault && this.app.vault.doc.presence.set(this.#shown))

  constructor(
    readonly app: App,
    readonly onCarets: (carets: readonly OtherCaret[]) => void,
  ) {
    app.onVault(change => !change && this.#follow())
  }

  /** Shows others where this person is. */
  show(note: string | undefined, caret: Caret | undefined): void {
    const person = settings().person || "Somebody"
    this.#shown = { person, note, caret }
    this.#tell()
    this.#repaint()
  }

  #follow(): void {
    this.#end?.()
    this.#end = this.app.vault.doc.presence.peers.watch(() => this.#repaint())
    this.#repaint()
  }

  #repaint(): void {
    if (!this.app.hasVault) return
    const here = this.app.vault.doc.presence.peers.value
      .flatMap(readPeer)
      .filter(peer => peer.note === this.#shown.note && peer.note !== undefined)
    this.element.hidden = here.length === 0
    const faces = here
      .slice(0, FACES)
      .map(({ name, color }) =>
        h("span", { class: `face color-${color}`, title: name, role: "img", "aria-label": name }, initials(name)),
      )
    fill(this.element, ...faces, here.length > FACES && h("span", { class: "face" }, `+${here.length - FACES}`))
    this.onCarets(here.flatMap(({ name, color, head }) => (head === undefined ? [] : [{ name, color, head }])))
  }
}

/** What another tab says of itself is a stranger's word: it is taken for what it must be, or left. */
function readPeer({ id, state }: Peer): { name: string; color: number; note: string | undefined; head: unknown }[] {
  if (typeof state !== "object" || state === null) return []
  const { person, note, caret } = state as Partial<Record<keyof Shown, unknown>>
  const name = typeof person === "string" && person.trim() ? person.trim().slice(0, NAME_MAX) : "Somebody"
  const head = typeof caret === "object" && caret !== null ? (caret as { head?: unknown }).head : undefined
  return [{ name, color: colorOf(id), note: typeof note === "string" ? note : undefined, head }]
}

function colorOf(id: string): number {
  let sum = 0
  for (const char of id) sum = (sum * 31 + char.charCodeAt(0)) >>> 0
  return sum % COLORS
}

function initials(name: string): string {
  const words = name.split(/\s+/)
  return [words[0], words.length > 1 ? words.at(-1) : undefined].map(word => [...(word ?? "")][0]?.toUpperCase() ?? "").join("")
}
