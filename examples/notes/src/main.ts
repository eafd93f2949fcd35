import { Installation, requestPersistence, Workspace } from "@selvedge/client"
import { App, reasonOf } from "./app.js"
import { listen } from "./commands.js"
import { askBeforeLosing } from "./leaving.js"
import { tellOfChanges } from "./notices.js"
import { onChosen, settings } from "./settings.js"
import { Desk } from "./views/desk.js"
import { h } from "./views/dom.js"
import { trustedScript } from "./trusted.js"
import { foundVault, join, linkInAddress, switchTo } from "./views/vaults.js"
import { toastLeft, toastPlace } from "./views/toast.js"
import { WORKSPACE } from "./workspace.js"

const WORKER = "sw.js"

async function main(): Promise<void> {
  applySettings()
  onChosen(applySettings)
  const app = new App(await Workspace.open(WORKSPACE))
  const desk = new Desk(app)
  rootElement().replaceChildren(...desk.elements)
  document.body.append(toastPlace)
  toastLeft()
  listen(app, desk.commands, () => settings().singleKeys)
  void install(app)
  await begin(app)
  window.addEventListener("hashchange", () => void follow(app))
  keepOnce(app)
  askBeforeLosing(app)
}

/** Opens what the address names, or what was open last, or another vault that can be opened; or has one founded. */
async function begin(app: App): Promise<void> {
  const link = linkInAddress(location.hash)
  if (link !== undefined) await join(app, link)
  else await app.start()
  if (app.hasVault) return
  const known = await app.workspace.documents()
  const { vault } = settings()
  for (const { id } of known.toSorted((a, b) => Number(b.id === vault) - Number(a.id === vault))) {
    await switchTo(app, id)
    if (app.hasVault) return
  }
  foundVault(app, true)
}

/** A link may also be opened where the app is open already. */
async function follow(app: App): Promise<void> {
  const link = linkInAddress(location.hash)
  if (link !== undefined) await join(app, link)
}

/** Has the app there without a network. Where there are no service workers it goes without. */
async function install(app: App): Promise<void> {
  try {
    const options = { type: "classic", beforeReload: () => beforeReload(app) } as const
    app.installation = await Installation.install(trustedScript(WORKER), options)
    flushLater(app, app.installation)
    // What the relay was told before stays; what changed of it is told at the next start.
    if (settings().isTold) tellOfChanges(app, true).catch(() => undefined)
  } catch (error) {
    console.info("not installed:", reasonOf(error))
  }
}

/** What cannot be sent now is sent by the browser, once there is a network. */
function flushLater(app: App, installation: Installation): void {
  let isAsked = false
  app.workspace.state.watch(({ connection, pending }) => {
    const isWaiting = connection === "offline" && pending > 0
    if (isWaiting && !isAsked) installation.requestFlush().catch(() => undefined)
    isAsked = isWaiting
  })
}

async function beforeReload(app: App): Promise<void> {
  app.flush()
  if (app.hasVault) await app.vault.doc.saved()
}

/** Once there is something to lose, the browser is asked to keep it. */
function keepOnce(app: App): void {
  let isAsked = false
  app.onVault(change => {
    if (!change || change.notes.size === 0 || isAsked) return
    isAsked = true
    void requestPersistence()
  })
}

function applySettings(): void {
  const { theme, font, isSidebarShown } = settings()
  const root = document.documentElement
  root.dataset["theme"] = theme
  root.dataset["font"] = font
  root.classList.toggle("no-sidebar", !isSidebarShown)
}

const rootElement = () => document.getElementById("app") as HTMLElement

main().catch((error: unknown) => {
  const reload = h("button", { type: "button", class: "button main", onclick: () => location.reload() }, "Try again")
  rootElement().replaceChildren(
    h("main", { class: "failed" }, h("h1", {}, "Notes could not start"), h("p", {}, reasonOf(error)), reload),
  )
})
