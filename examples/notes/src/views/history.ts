import type { Former } from "@selvedge/client"
import type { App } from "../app.js"
import { titleOf } from "../model/vault.js"
import { textOfUpdates } from "../model/body.js"
import { compare, type Compared } from "../text/lines.js"
import { action, openDialog } from "./dialog.js"
import { fill, h, setAttribute } from "./dom.js"

/** Changes that are this near to each other are one version. */
const TOGETHER_MS = 5 * 60_000
const VERSIONS_MAX = 200
/** So many lines that are the same are shown around one that is not. */
const CONTEXT = 2

const NONE = "There are no former versions of this text yet: one is kept every few minutes while it is written."

interface Version {
  readonly at: number
  readonly isOwn: boolean
  readonly text: string
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })

/** Former versions of a note: what was different then, and the way back. */
export async function showHistory(app: App, id: string, restore: (text: string) => void): Promise<void> {
  const row = app.vault.row(id)
  if (!row) return
  app.flush()
  const dialog = openDialog(`History of “${titleOf(app.vault.note(id))}”`, { class: "wide" })
  const list = h("ul", { class: "versions", "aria-label": "Versions" })
  const shown = h("div", { class: "difference", tabindex: "0", role: "region", "aria-label": "What is different" })
  dialog.body.append(h("div", { class: "history" }, list, shown))
  const now = app.vault.body(id)
  const versions = versionsOf(await app.vault.doc.history(row.id, "body"))
  if (versions.length === 0) return fill(dialog.body, h("p", { class: "quiet" }, NONE))
  const choose = (at: number) => {
    const version = versions[at] as Version
    ;[...list.querySelectorAll("button")].forEach((button, number) => setAttribute(button, "aria-pressed", String(number === at)))
    const take = () => (restore(version.text), dialog.close())
    const isSame = version.text === now
    const back = isSame
      ? h("p", { class: "quiet" }, "This is how it reads now.")
      : !app.vault.isReadOnly && action("Bring this version back", take, "main")
    fill(shown, back, ...differences(version.text, now))
  }
  const line = ({ at, isOwn }: Version, number: number) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", onclick: () => choose(number) },
        moment.format(at),
        h("span", { class: "quiet" }, isOwn ? "this device" : "another device"),
      ),
    )
  fill(list, ...versions.map(line))
  choose(0)
  list.querySelector("button")?.focus()
}

/** Texts as they were, the newest first; of what was typed without a pause only how it ended. */
function versionsOf(former: readonly Former[]): Version[] {
  const versions: Version[] = []
  for (const { value, at, by, isOwn } of former) {
    const last = versions.at(-1) as (Version & { by: string }) | undefined
    const updates = updatesOf(value)
    if (versions.length >= VERSIONS_MAX || !updates) continue
    if (last && last.by === by && last.at - at < TOGETHER_MS) continue
    const version: Version & { by: string } = { at, by, isOwn, text: textOfUpdates(updates) }
    versions.push(version)
  }
  return versions
}

/** The updates of Yjs that a text was made of then. */
function updatesOf(value: Former["value"]): Uint8Array[] | undefined {
  const isUpdate = (update: unknown): update is Uint8Array => update instanceof Uint8Array
  if (isUpdate(value)) return [value]
  return Array.isArray(value) && value.every(isUpdate) ? value : undefined
}

/** What was, in red, and what is, in green; signs say it too. */
function differences(before: string, after: string): HTMLElement[] {
  const lines = compare(before, after)
  const isNear = (at: number) => lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ kind }) => kind !== "same")
  const shown: HTMLElement[] = []
  let isSkipping = false
  lines.forEach((line, at) => {
    if (line.kind === "same" && !isNear(at)) {
      if (!isSkipping) shown.push(h("div", { class: "skipped" }, "⋯"))
      isSkipping = true
      return
    }
    isSkipping = false
    shown.push(lineElement(line))
  })
  return shown
}

function lineElement({ kind, text }: Compared): HTMLElement {
  const sign = { same: " ", added: "+", removed: "−" }[kind]
  const label = { same: undefined, added: "now: ", removed: "then: " }[kind]
  return h(
    "div",
    { class: `compared ${kind}` },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    label && h("span", { class: "visually-hidden" }, label),
    text || " ",
  )
}
