import assert from "node:assert/strict"
import { install, release } from "./application.js"
import { inBrowser } from "./browser.js"

inBrowser("what goes wrong in a page or a worker is heard", async visit => {
  release(visit.site, "v1", {}, `wake: async () => { console.error("worker"); Promise.reject(new Error("worker's promise")) }`)
  const tab = await install(visit)
  const worker = visit.context.serviceWorkers()[0] ?? (await visit.context.waitForEvent("serviceworker"))
  await tab.evaluate(() => {
    setTimeout(() => {
      throw new Error("page")
    })
    Promise.reject(new Error("page's promise"))
    console.warn("page's console")
  })
  await worker.evaluate(() => self.dispatchEvent(new PushEvent("push")))
  const expected = [
    /^uncaught: page$/,
    /^uncaught: page's promise$/,
    /^warning: page's console$/,
    /^error: worker$/,
    /^error: uncaught: worker's promise$/,
  ]
  await visit.heard(expected)
  assert.equal(visit.said.length, expected.length, visit.said.join("\n"))
  visit.said.length = 0
})
