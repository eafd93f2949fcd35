import assert from "node:assert/strict"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

/** Opens the inspector, and returns it. */
async function inspect(person) {
  await person.command("Inspector")
  const dock = person.page.getByRole("complementary", { name: "Inspector" })
  await dock.getByRole("tab", { name: /^Operations/ }).waitFor()
  return dock
}

served("the inspector shows operations as they are made, and finds them", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Soup", "Leek")
  await ann.tag("winter")
  await ann.synced()
  const dock = await inspect(ann)
  const rows = dock.locator(".operations .row")
  await rows.filter({ hasText: "tags" }).filter({ hasText: '+ "winter"' }).filter({ hasText: "this device" }).waitFor()
  await rows.filter({ hasText: "title" }).filter({ hasText: '= "Soup"' }).waitFor()
  await rows.filter({ hasText: "body" }).filter({ hasText: "of text" }).first().waitFor()

  // Live, while one writes on; single keys in its search are letters.
  await ann.tag("dinner")
  await rows.filter({ hasText: '+ "dinner"' }).waitFor()
  await dock.getByLabel("Search operations").focus()
  await page.keyboard.type("dinner")
  await dock.getByText(/^1 of \d+ operations/).waitFor()
  assert.equal(await rows.count(), 1)
  await rows.first().click()
  await dock.locator(".detail", { hasText: "tags (or-set)" }).waitFor()
  await dock.getByLabel("Search operations").fill("nothing has this")
  await dock.getByText("Nothing found").waitFor()
  await page.keyboard.press("Escape")
  await dock.getByLabel("Search operations").fill("")

  // By keys: Tab comes to one row, arrows go on.
  await rows.first().focus()
  await page.keyboard.press("ArrowDown")
  assert.equal(await rows.nth(1).evaluate(row => row === row.getRootNode().activeElement), true)

  await dock.getByRole("button", { name: "Others" }).click()
  await dock.getByText("Nothing found").waitFor()
  await dock.getByRole("button", { name: "Close the inspector" }).click()
  await dock.waitFor({ state: "detached" })
})

served("the inspector shows what waits, conflicts, versions, people, the relay and the disk", async person => {
  const [ann, ben] = [await person(), await person()]
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Soup", "Leek")
  await ann.synced()
  await ben.join(await ann.invite(), "Ours")
  await ben.row("Soup").click()
  for (const one of [ann, ben]) await one.goOffline()
  const title = one => one.page.getByLabel("Title", { exact: true })
  for (const [one, name] of [
    [ann, "Stew"],
    [ben, "Broth"],
  ]) {
    await title(one).fill(name)
    await title(one).press("Enter")
    await one.row(name).waitFor()
    await one.saved()
  }
  const dock = await inspect(ann)
  const tab = name => dock.getByRole("tab", { name })
  const panel = dock.getByRole("tabpanel")
  await tab("Waiting").click()
  await panel.locator(".row", { hasText: '= "Stew"' }).waitFor()
  await dock.getByText("Offline", { exact: true }).waitFor()
  for (const one of [ann, ben]) await one.context.setOffline(false)
  await panel.getByText("Nothing waits").waitFor()
  await dock.locator(".standing", { hasText: "Connected" }).waitFor()

  await tab("Conflicts").click()
  const conflict = panel.locator(".conflict", { hasText: "title" })
  await conflict.locator(".counts").waitFor()
  const values = await conflict.locator(".value").allTextContents()
  assert.deepEqual(values.sort(), ['"Broth"', '"Stew"'])
  assert.deepEqual(await conflict.locator(".chip").allTextContents(), ["reads", "lost"])

  await tab("Versions").click()
  await panel.locator("tbody tr").nth(1).waitFor()
  assert.equal(await panel.locator("tbody tr", { hasText: "this device" }).count(), 1)

  await tab("Presence").click()
  await panel.locator(".peers li", { hasText: "elsewhere" }).waitFor()
  await panel.locator(".tabs-here li", { hasText: "this tab" }).filter({ hasText: "leads" }).waitFor()

  await tab("Relay").click()
  await panel.locator("dd", { hasText: /^read, write, / }).waitFor()
  await panel.getByText(/^offset \d+/).waitFor()

  await tab("Storage").click()
  for (const term of ["Stored", "Not on the disk yet", "Who stores and sends", "Kept when space is short", "Version"]) {
    await panel.locator("dt", { hasText: term }).first().waitFor()
  }
  assert.match(await panel.locator(".quota").textContent(), /^[\d.]+ [kMG]?B of [\d.]+ [MG]B$/)
  await panel.locator("dd", { hasText: "activated" }).waitFor()
})
