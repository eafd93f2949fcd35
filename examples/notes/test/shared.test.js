import assert from "node:assert/strict"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const shared = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

shared("two people see each other write, and come together after they were apart", async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Plan", "one\n\nthree\n")
  await ann.synced()

  const ben = await person()
  await ben.join(await ann.invite(), "Ours")
  assert.equal(new URL(ben.page.url()).hash.includes("join"), false, "the key does not stay in the address")
  await ben.row("Plan").click()
  await ben.page.waitForFunction(() => document.querySelector("textarea").value.includes("three"))

  await ann.row("Plan").click()
  await ann.text.focus()
  await ben.page.locator(".face").waitFor()
  await ben.page.locator(".caret").waitFor({ state: "attached" })
  await ann.page.keyboard.press("Control+Home")
  await ann.page.keyboard.type("zero ")
  await ben.page.waitForFunction(() => document.querySelector("textarea").value.startsWith("zero one"))

  const offline = /net::ERR_INTERNET_DISCONNECTED|WebSocket|Failed to load resource/
  for (const one of [ann, ben]) {
    one.mayHear(offline)
    await one.page.evaluate(() => navigator.serviceWorker.ready)
    await one.context.setOffline(true)
  }
  await ann.page.keyboard.type("anns ")
  await ben.text.focus()
  await ben.page.keyboard.press("Control+End")
  await ben.page.keyboard.type("bens")
  await ann.page.getByLabel("Add a tag").fill("ann")
  await ann.page.getByLabel("Add a tag").press("Enter")
  await ben.page.getByLabel("Add a tag").fill("ben")
  await ben.page.getByLabel("Add a tag").press("Enter")
  await ann.write("By Ann", "alone")
  await ben.write("By Ben", "alone")
  await ben.saved()
  await ben.page.reload()
  await ben.row("By Ben").waitFor()
  for (const one of [ann, ben]) await one.context.setOffline(false)
  for (const one of [ann, ben]) {
    await one.row("By Ann").waitFor()
    await one.row("By Ben").waitFor()
    await one.synced()
    await one.row("Plan").click()
    await one.page.waitForFunction(() => document.querySelector("textarea").value === "zero anns one\n\nthree\nbens")
    for (const tag of ["#ann", "#ben"]) await one.page.locator(".chip.own", { hasText: tag }).waitFor()
  }
})

shared("an encrypted vault is shared too", async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ name: "Secret", isEncrypted: true, examples: false })
  await ann.write("Diary", "nobody else reads this")
  await ann.synced()
  const ben = await person()
  await ben.join(await ann.invite(), "Secret")
  await ben.row("Diary").click()
  await ben.page.waitForFunction(() => document.querySelector("textarea").value === "nobody else reads this")
})
