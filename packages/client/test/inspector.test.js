import assert from "node:assert/strict"
import { until } from "./application.js"
import { inBrowser } from "./browser.js"
import { withRelay } from "./relay.js"

/** In a page: a workspace, without a relay if none is named, its only document, and an inspector. */
async function start(options = {}) {
  const { mountInspector } = await import("/dist/inspector.js")
  globalThis.schema = client.defineSchema({ notes: { title: client.t.string(), names: client.t.multi(client.t.string()) } })
  globalThis.workspace = await client.Workspace.open({ name: "notes", ...options })
  const [known] = await workspace.documents()
  globalThis.doc = known ? await workspace.get(known.id, schema) : await workspace.create(schema, { title: "First" })
  globalThis.inspector = mountInspector(document.body, workspace, { describe: (_, entity) => doc.notes.get(entity)?.title })
}

async function open(visit) {
  const page = await visit.open()
  await page.evaluate(start)
  return page
}

const rows = page => page.locator(".operations .row")
const write = (page, title, id) => page.evaluate(([title, id]) => void doc.notes.insert({ title }, id), [title, id])

inBrowser("the inspector follows what any tab writes, and goes on when another leads", async visit => {
  const [first, second] = [await open(visit), await open(visit)]
  await second.getByText("Nothing was written yet").waitFor()
  await write(first, "Milk", "a")
  await rows(second).filter({ hasText: '= "Milk"' }).waitFor()
  await second.getByRole("tab", { name: "Presence" }).click()
  const tabs = second.locator(".tabs-here li")
  await tabs.nth(1).waitFor()
  assert.equal(await tabs.filter({ hasText: "leads" }).filter({ hasText: "this tab" }).count(), 0)
  await first.close()
  await tabs.filter({ hasText: "leads" }).filter({ hasText: "this tab" }).waitFor()
  await second.getByRole("tab", { name: "Operations" }).click()
  await write(second, "Oat milk", "a")
  await rows(second).filter({ hasText: '= "Oat milk"' }).waitFor()
})

inBrowser("the inspector shows as many rows as somebody asks for, stands still, and changes the document", async visit => {
  const page = await open(visit)
  await page.evaluate(async () => {
    doc.transaction(() => Array.from({ length: 450 }, (_, at) => doc.notes.insert({ title: `note ${at}` }, String(at))))
    await doc.saved()
  })
  await page.getByText("450 operations, the newest first").waitFor()
  assert.equal(await rows(page).count(), 200)
  await page.getByRole("button", { name: "Show 200 more" }).click()
  await rows(page).nth(399).waitFor()
  assert.equal(await page.evaluate(() => [...inspector.element.shadowRoot.querySelectorAll(".row")].indexOf(inspector.element.shadowRoot.activeElement)), 201) // prettier-ignore
  await page.getByRole("button", { name: "Show 50 more" }).click()
  await rows(page).nth(449).waitFor()

  await page.getByRole("button", { name: "Live" }).click()
  await page.getByRole("button", { name: "Paused" }).waitFor()
  await write(page, "later", "later")
  await page.evaluate(() => doc.saved())
  await page.getByLabel("Search operations").fill("later")
  await page.getByText("Nothing found").waitFor()
  await page.getByRole("button", { name: "Paused" }).click()
  await rows(page).filter({ hasText: '= "later"' }).waitFor()

  await page.evaluate(async () => {
    const other = await workspace.create(schema, { title: "Second" })
    other.notes.insert({ title: "of the second" })
    await other.saved()
  })
  await page.getByLabel("Search operations").fill("")
  await page.getByLabel("Document").selectOption({ label: "Second" })
  await page.getByText("1 operation, the newest first").waitFor()
  await rows(page).filter({ hasText: '= "of the second"' }).waitFor()
  await page.evaluate(() => inspector.close())
  assert.equal(await page.evaluate(() => inspector.element.isConnected), false)
})

withRelay("a row that somebody opened stays open when the relay has what it tells of", async (_, visit) => {
  const profile = await visit()
  profile.mayHear(/WebSocket|ERR_INTERNET_DISCONNECTED/)
  const page = await profile.open()
  await page.evaluate(start, { relay: "/_selvedge/sync" })
  await until(page, () => workspace.state.value.connection === "live")
  await profile.context.setOffline(true)
  await write(page, "Milk", "a")
  const row = rows(page).filter({ hasText: '= "Milk"' })
  const chip = row.locator(".chip", { hasText: "waiting" })
  await chip.waitFor()
  await row.click()
  await page.locator(".operations .detail").waitFor()
  await profile.context.setOffline(false)
  await chip.waitFor({ state: "detached" })
  assert.equal(await row.getAttribute("aria-expanded"), "true")
  assert.equal(await page.locator(".operations .detail").count(), 1)
})
