import type { WorkspaceState } from "@selvedge/client"
import type { App } from "../app.js"
import { standingOf } from "../model/standing.js"
import { fill, h, icon, setText } from "./dom.js"
import { openDialog } from "./dialog.js"
import type { IconName } from "./icons.js"

/** A button that says how it stands. */
export function statusButton(app: App, onClick: () => void): HTMLElement {
  const label = h("span", { class: "label" })
  const button = h("button", { type: "button", class: "status", onclick: onClick }, h("span", { class: "dot" }), label)
  const paint = (state: WorkspaceState) => {
    const { kind, label: text, detail } = standingOf(state)
    button.dataset.kind = kind
    button.title = detail
    setText(label, text)
  }
  app.workspace.state.watch(paint)
  paint(app.workspace.state.value)
  return button
}

/** Everything that is known of how it stands. */
export function showStatus(app: App): void {
  const list = h("dl", { class: "facts" })
  const detail = h("p", { class: "lead" })
  const paint = (state: WorkspaceState) => {
    const { storage, found, pending, unsaved, role, trouble } = state
    detail.textContent = standingOf(state).detail
    const rows: [string, string | undefined][] = [
      ["Waiting for the relay", String(pending)],
      ["Waiting for the disk", String(unsaved)],
      ["Trouble", trouble && `${trouble.kind}: ${trouble.message}`],
      ["Used on this device", storage && `${megabytes(storage.used)} of ${megabytes(storage.quota)}`],
      ["Kept when space is short", storage && (storage.isPersistent ? "yes" : "the browser may throw it away")],
      ["Before this visit", found === "evicted" ? "the browser had thrown the notes away" : undefined],
      ["This tab", role === "leader" ? "has the connection" : "shares the connection of another tab"],
      ["This device", `${app.workspace.device.slice(0, 16)}…`],
    ]
    fill(list, ...rows.flatMap(([key, value]) => (value === undefined ? [] : [h("dt", {}, key), h("dd", {}, value)])))
  }
  const end = app.workspace.state.watch(paint)
  const dialog = openDialog("How it stands", { class: "small", onClose: end })
  dialog.body.append(detail, list)
  paint(app.workspace.state.value)
}

const megabytes = (bytes: number) => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`)

/** What is said to who came in by a link for reading. */
export const READ_ONLY = "You can read this vault, and not write in it. Who shared it can send you a link for writing."

/** Says across the window what must not be overlooked. */
export function banners(app: App): HTMLElement {
  const place = h("div", { class: "banners", role: "status" })
  let isDismissed = false
  const paint = () => {
    const { isVolatile, found, trouble } = app.workspace.state.value
    const isUpdateReady = app.installation?.status.value.isUpdateReady ?? false
    const evicted =
      "The browser threw away what this app had stored. What the relay has comes back; ask for a link to vaults that are missing."
    const dismiss = () => ((isDismissed = true), paint())
    fill(
      place,
      isUpdateReady && banner("A new version is ready.", "Reload", () => (app.flush(), app.installation?.update()), "good"),
      trouble?.kind === "full" &&
        banner("The disk is full: what you write now ends with this tab. Free space, or export.", undefined, undefined, "bad"),
      isVolatile &&
        !isDismissed &&
        banner("This window keeps nothing: notes end with it, unless the relay has them.", "I know", dismiss, "bad"),
      found === "evicted" && !isDismissed && banner(evicted, "I know", dismiss, "bad"),
      app.hasVault && app.vault.isReadOnly && banner(READ_ONLY, undefined, undefined, "plain"),
    )
  }
  app.workspace.state.watch(paint)
  app.onVault(change => (!change || change.isOrder) && paint())
  app.onInstalled(() => (app.installation?.status.watch(paint), paint()))
  paint()
  return place
}

const PICTURES: Readonly<Record<string, IconName>> = { good: "cloud", plain: "read" }

function banner(text: string, label: string | undefined, run: (() => void) | undefined, kind: string): HTMLElement {
  const button = label && run && h("button", { type: "button", class: "button", onclick: run }, label)
  return h("div", { class: `banner ${kind}` }, icon(PICTURES[kind] ?? "info"), h("span", {}, text), button)
}
