import type { DocumentInfo } from "@selvedge/client"
import { mountInspector } from "@selvedge/client/inspector"
import type { App } from "../app.js"
import { ABOUT } from "../schema.js"
import { restOf, titleOf } from "../model/vault.js"
import { h, iconButton } from "./dom.js"

let close: (() => void) | undefined

/** Shows below the notes how they are stored and synced, while one goes on writing; or ends that. */
export function toggleInspector(app: App, nameOf: (vault: DocumentInfo) => string): void {
  if (close) return close()
  const before = document.activeElement
  const dock = h("aside", { class: "dock", "aria-label": "Inspector" })
  const { doc } = app.vault
  const describe = (document: string, entity: string) => (document === app.vault.doc.id ? describeEntity(app, entity) : undefined)
  const inspector = mountInspector(dock, app.workspace, { document: doc.id, nameOf, describe })
  close = () => {
    close = undefined
    inspector.close()
    dock.remove()
    if (before instanceof HTMLElement) before.focus()
  }
  inspector.element.append(iconButton("close", "Close the inspector", { slot: "actions", onclick: () => close?.() }))
  dock.addEventListener("keydown", event => event.key === "Escape" && !isSearching(event) && close?.())
  document.getElementById("app")?.append(dock)
  inspector.focus()
}

/** Escape in a search that has words takes these away first. */
function isSearching(event: KeyboardEvent): boolean {
  const [target] = event.composedPath()
  return target instanceof HTMLInputElement && target.value !== ""
}

/** What people call something that is in a vault. */
function describeEntity(app: App, entity: string): string | undefined {
  const { vault } = app
  if (entity === ABOUT) return vault.name
  const id = restOf(entity)
  if (entity.startsWith("folders/")) return vault.folder(id)?.name
  const note = vault.note(id)
  return note && titleOf(note)
}
