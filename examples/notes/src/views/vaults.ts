import { ClientError, type DocumentInfo, type Right } from "@selvedge/client"
import { App, hashOf, ALL, reasonOf } from "../app.js"
import { schema } from "../schema.js"
import { settings } from "../settings.js"
import { firstNotes } from "../welcome.js"
import { textUpdate } from "../model/body.js"
import { restOf } from "../model/vault.js"
import { ABOUT } from "../schema.js"
import { action, ask, confirm, openDialog } from "./dialog.js"
import { fill, h, icon, isNarrow } from "./dom.js"
import { openMenu, type MenuItem } from "./menu.js"
import { toast } from "./toast.js"

/** What a vault is called, though it is not open. */
export function nameOf(info: DocumentInfo): string {
  return settings().names[info.id] || info.title || "Notes"
}

/** The vaults of this browser, and what can be done with the open one. */
export async function vaultMenu(
  app: App,
  anchor: HTMLElement,
  doing: { share(): void; import(): void; export(): void },
): Promise<void> {
  const vaults = await app.workspace.documents()
  const { doc, isReadOnly } = app.vault
  const items: (MenuItem | undefined)[] = vaults.map(info => ({
    label: nameOf(info) + (info.isEncrypted ? " (encrypted)" : ""),
    isChecked: info.id === doc.id,
    run: () => void switchTo(app, info.id),
  }))
  const changing: readonly MenuItem[] = [
    { label: "Rename this vault", icon: "edit", run: () => void rename(app) },
    { label: "Import notes", icon: "folder", run: doing.import },
  ]
  openMenu(anchor, "Vaults", [
    ...items,
    undefined,
    { label: "New vault", icon: "plus", run: () => foundVault(app) },
    { label: "Join with a link", icon: "link", run: () => void askForLink(app) },
    undefined,
    { label: "Share this vault", icon: "people", run: doing.share },
    ...(isReadOnly ? [] : changing),
    { label: "Export notes", icon: "share", run: doing.export },
    undefined,
    {
      label: "Forget on this device",
      icon: "trash",
      isDanger: true,
      run: () => void app.attempt("Forgetting the vault", () => forget(app)),
    },
  ])
}

/** Opens a vault; returns whether it is open. */
export async function switchTo(app: App, id: string): Promise<boolean> {
  if (!(await app.enter(id))) return false
  app.go({ scope: ALL, note: undefined }, "replace")
  history.pushState(null, "", hashOf(id, app.place))
  return true
}

/** Says that the open vault is not on this device any more, and lets the person save what is shown of it. */
export function showGone(app: App, doing: { export(): void }): void {
  const dialog = openDialog(`“${app.vault.name}” is gone from this device`, { class: "small", onClose: () => app.leave() })
  const text =
    "It was forgotten in another tab, or the browser threw it away. What is shown can still be exported; what is written is kept nowhere."
  dialog.body.append(
    h("p", {}, text),
    h("footer", {}, action("Export notes", doing.export), action("Leave", dialog.close, "main")),
  )
}

async function rename(app: App): Promise<void> {
  const name = await ask("Rename vault", "Name", app.vault.name)
  if (name) app.vault.renameVault(name)
}

async function forget(app: App): Promise<void> {
  const { doc, name } = app.vault
  const info = (await app.workspace.documents()).find(({ id }) => id === doc.id)
  const lost = info && info.pending > 0 ? ` ${info.pending} changes are not at the relay yet and would be lost.` : ""
  const isSure = await confirm(
    `Forget “${name}”?`,
    `It is taken off this device. You come back by a link of somebody who has it.${lost}`,
    "Forget",
  )
  if (!isSure) return
  await app.forget()
}

/** Founds a vault; the first one when there is none yet. */
export function foundVault(app: App, isFirst = false): void {
  let isJoining = false
  const dialog = openDialog(isFirst ? "Your notes, on every device" : "New vault", {
    class: isFirst ? "welcome" : "small",
    // Browsers let nobody keep a dialog open for good.
    onClose: () => isFirst && !isJoining && !app.hasVault && foundVault(app, true),
  })
  const name = h("input", { type: "text", value: isFirst ? "Notes" : "", maxlength: 80, required: true, autocomplete: "off" })
  const encrypted = h("input", { type: "checkbox" })
  const examples = h("input", { type: "checkbox", checked: isFirst })
  const create = h("button", { type: "submit", class: "button main" }, "Create vault")
  const error = h("p", { class: "error", role: "alert" })
  const submit = async (event: Event) => {
    event.preventDefault()
    create.disabled = true
    try {
      await found(app, name.value.trim() || "Notes", encrypted.checked, examples.checked)
      dialog.close()
    } catch (reason) {
      error.textContent = `The vault could not be made: ${reasonOf(reason)}.`
    }
    create.disabled = false
  }
  const join = action("Join with a link", () => ((isJoining = true), dialog.close(), void askForLink(app, isFirst)))
  const form = h(
    "form",
    { onsubmit: event => void submit(event) },
    isFirst &&
      h(
        "p",
        { class: "lead" },
        "A vault holds notes, folders and tags. It is on this device, works without a network, and is shared by link.",
      ),
    h("label", { class: "field" }, h("span", {}, "Name"), name),
    check(
      encrypted,
      "Encrypt it",
      "Only devices that you let in can read it; the relay cannot. Nobody can help if all of them are lost.",
    ),
    check(examples, "Begin with a few notes", "They show what can be done, and can be thrown away."),
    error,
    h("footer", {}, isFirst ? join : action("Cancel", dialog.close), create),
  )
  // The first vault is needed: there is nothing behind the dialog.
  if (isFirst) dialog.element.addEventListener("cancel", event => app.hasVault || event.preventDefault())
  if (isFirst) dialog.element.querySelector("header .icon-button")?.remove()
  dialog.body.append(form)
  name.focus()
  name.select()
}

function check(input: HTMLInputElement, label: string, text: string): HTMLElement {
  return h("label", { class: "check" }, input, h("span", {}, h("strong", {}, label), h("span", { class: "quiet" }, text)))
}

async function found(app: App, name: string, encrypted: boolean, hasExamples: boolean): Promise<void> {
  const doc = await app.workspace.create(schema, { title: name, ...(encrypted ? { encrypted } : {}) })
  const first = doc.transaction(() => {
    doc.about.insert({ name }, ABOUT)
    const now = Date.now()
    const made = (hasExamples ? firstNotes() : []).map(({ title, body, isPinned }, at) =>
      doc.notes.insert({
        title,
        body: textUpdate(body),
        created: now - at,
        updated: now - at,
        ...(isPinned ? { pinned: true } : {}),
      }),
    )
    return made[0]
  })
  const isOpen = await switchTo(app, doc.id)
  if (isOpen && first !== undefined && !isNarrow()) app.go({ note: restOf(first) }, "replace")
}

/** Asks for a link that somebody sent. */
export async function askForLink(app: App, isFirst = false): Promise<void> {
  const text = await ask("Join a vault", "Link", "", "Join")
  const link = text && linkIn(text)
  if (link) await join(app, link)
  else if (text) toast("That is no link to a vault.")
  if (isFirst && !app.hasVault) foundVault(app, true)
}

/** What stands behind `#/join/` in an address. */
export function linkInAddress(address: string): string | undefined {
  const found = /#\/join\/(.+)$/.exec(address.trim())?.[1]
  return found === undefined ? undefined : decoded(found)
}

/** What somebody pastes: an address, or a link by itself. */
function linkIn(text: string): string | undefined {
  const bare = /^[\w.~-]{16,}$/.exec(text.trim())?.[0]
  return linkInAddress(text) ?? bare
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Comes into a vault by a link. The link is a key: it does not stay in the address. */
export async function join(app: App, link: string): Promise<void> {
  history.replaceState(null, "", location.pathname)
  try {
    const doc = await app.workspace.join(link, schema)
    if (await switchTo(app, doc.id)) toast(`You are in “${app.vault.name}”.`)
  } catch (error) {
    // Who is not let in is told why.
    const reason = error instanceof ClientError && error.kind === "denied" ? error.message : reasonOf(error)
    toast(`Joining the vault failed: ${reason}.`)
  }
}

/** Makes a link that lets others in. */
export function shareVault(app: App): void {
  const { vault } = app
  if (!vault.isSharable) return toast("Only who founded this vault can let others in: ask them for a link.")
  const dialog = openDialog(`Share “${vault.name}”`)
  const rights = h(
    "select",
    { "aria-label": "What they may do" },
    h("option", { value: "write" }, "can read and write"),
    h("option", { value: "read" }, "can read"),
  )
  const once = h("input", { type: "checkbox", checked: true })
  const link = h("input", { type: "text", readonly: true, class: "secret", "aria-label": "Link", placeholder: "No link yet" })
  const error = h("p", { class: "error", role: "alert" })
  const copy = action("Copy", () => void copyLink(link))
  copy.disabled = true
  const make = async () => {
    error.textContent = ""
    try {
      const granted: Right[] = rights.value === "write" ? ["read", "write"] : ["read"]
      const secret = await vault.doc.invite({ rights: granted, once: once.checked })
      link.value = `${location.origin}${location.pathname}#/join/${encodeURIComponent(secret)}`
      copy.disabled = false
      await copyLink(link)
      link.select()
    } catch (reason) {
      error.textContent = `No link could be made: ${reasonOf(reason)}.`
    }
  }
  const members = h("ul", { class: "members" })
  dialog.body.append(
    h(
      "p",
      { class: "lead" },
      "Whoever opens the link is in this vault. The secret is behind the #, which browsers send to no server: send it by a way that you trust.",
    ),
    h("div", { class: "line" }, h("span", {}, "Who opens it"), rights),
    check(once, "For one device", "The first that opens it is let in; then it is used up."),
    h("div", { class: "line" }, link, copy),
    error,
    members,
    h(
      "footer",
      {},
      action("Close", dialog.close),
      action("Make a link", () => void make(), "main"),
    ),
  )
  if (vault.doc.isEncrypted) void showMembers(app, members)
}

async function showMembers(app: App, list: HTMLElement): Promise<void> {
  const members = await app.vault.doc.members().catch(() => [])
  const lines = members.map(({ device, name, isSelf, rights }) => {
    const label = `${name || device.slice(0, 12)}${isSelf ? " (this device)" : ""}`
    const remove = async () => {
      const isSure = await confirm("Remove this device?", `What is written from now on is closed to ${label}.`, "Remove")
      if (isSure && (await app.attempt("Removing", () => app.vault.doc.remove(device)))) await showMembers(app, list)
    }
    const button = !isSelf && action("Remove", () => void remove())
    return h("li", {}, icon("lock"), h("span", {}, label), h("span", { class: "quiet" }, rights.join(", ")), button)
  })
  fill(list, h("li", { class: "quiet" }, "Devices that can read it:"), ...lines)
}

async function copyLink(link: HTMLInputElement): Promise<void> {
  if (!link.value) return
  try {
    await navigator.clipboard.writeText(link.value)
    toast("The link is copied.")
  } catch {
    // The person is asked, or there is no clipboard: the link can be copied by hand.
    link.select()
  }
}
