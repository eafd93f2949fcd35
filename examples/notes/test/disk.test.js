import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { strToU8, zipSync } from "fflate"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const COUNT = 100
const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

for (const isEncrypted of [false, true]) {
  served(
    `${isEncrypted ? "an encrypted vault" : "a vault"} that the browser threw away comes back from the relay`,
    async (person, up) => {
      const ann = await person()
      await ann.visit()
      await ann.found({ name: "Diary", isEncrypted, examples: false })
      await ann.write("Soup", "Leek and potatoes")
      await ann.tag("winter")
      await ann.synced()
      await ann.saved()
      const devtools = await ann.context.newCDPSession(ann.page)
      await devtools.send("Storage.clearDataForOrigin", { origin: up.origin, storageTypes: "indexeddb" })
      await ann.page.close()
      ann.page = await ann.context.newPage()
      const { page } = ann
      await ann.visit()
      await page.getByText("The browser threw away what this app had stored.").waitFor()
      await page.locator(".vault-name", { hasText: "Diary" }).waitFor()
      await ann.row("Soup").click()
      await ann.reads("Leek and potatoes")
      await page.locator(".chip.own", { hasText: "#winter" }).waitFor()
      await page.getByRole("button", { name: "I know" }).click()
      await page.getByText("The browser threw away").waitFor({ state: "detached" })
      await ann.type(", slowly")
      await ann.synced()
      await ann.saved()
      await page.reload()
      await ann.row("Soup").click()
      await ann.reads("Leek and potatoes, slowly")
      assert.equal(await page.getByText("The browser threw away").count(), 0)
    },
  )
}

/** Notes that are larger than what is left. */
function archive() {
  const text = () => randomBytes(45_000).toString("base64url")
  return zipSync(Object.fromEntries(Array.from({ length: COUNT }, (_, at) => [`Large ${at}.md`, strToU8(text())])), { level: 0 })
}

served("a full disk is said, nothing that was written is lost, and it is saved once there is room", async (person, up) => {
  const ann = await person()
  const { page } = ann
  const devtools = await ann.context.newCDPSession(page)
  const quota = quotaSize => devtools.send("Storage.overrideQuotaForOrigin", { origin: up.origin, quotaSize })
  // Chromium remembers for a while how much was left: the limit comes first.
  await quota(4_000_000)
  await ann.visit()
  await ann.found({ name: "Diary", examples: false })
  await ann.write("Soup", "Leek")
  await ann.saved()
  await ann.command("Import notes")
  const file = { name: "Large.zip", mimeType: "application/zip", buffer: Buffer.from(archive()) }
  await page.getByLabel("Files", { exact: true }).setInputFiles(file)
  await page.getByText("The disk is full: what you write now ends with this tab.").waitFor()
  await page.locator(".status", { hasText: "Disk full" }).waitFor()
  await page.getByRole("button", { name: "Stop" }).click()
  await page.locator(".list .count", { hasText: new RegExp(`^${1 + COUNT}$`) }).waitFor()
  await ann.open("Soup")
  await ann.type(" and potatoes")
  await ann.reads("Leek and potatoes")
  await page.locator("html[data-saved=no]").waitFor({ state: "attached" })
  const [question] = await Promise.all([page.waitForEvent("dialog"), page.close({ runBeforeUnload: true })])
  assert.equal(question.type(), "beforeunload")
  await question.dismiss()
  await ann.reads("Leek and potatoes")

  await quota(200_000_000)
  await ann.saved()
  await ann.synced()
  await page.getByText("The disk is full").waitFor({ state: "detached" })
  let isAsked = false
  page.on("dialog", question => ((isAsked = true), question.accept()))
  await page.reload()
  assert.equal(isAsked, false)
  await page.locator(".list .count", { hasText: new RegExp(`^${1 + COUNT}$`) }).waitFor()
  await ann.open("Soup")
  await ann.reads("Leek and potatoes")
})
