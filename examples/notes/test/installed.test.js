import assert from "node:assert/strict"
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const served = (name, run) => inBrowser(name, run, { start: () => Up.startCopy(), isSkipped: noRelay })

served("a new version comes when somebody says so, and what was typed is there", async (person, up) => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
  await ann.write("Before", "typed ")
  for (const coding of ["gz", "br"]) await rm(join(up.site, `sw.js.${coding}`), { force: true })
  await writeFile(join(up.site, "sw.js"), `${await readFile(join(up.site, "sw.js"), "utf8")}\n// a newer one`)
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update())
  await page.getByText("A new version is ready.").waitFor()
  await ann.text.focus()
  await page.keyboard.press("Control+End")
  await page.keyboard.type("until the end")
  await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: "Reload" }).click()])
  await page.waitForFunction(() => document.querySelector("textarea")?.value === "typed until the end")
  assert.equal(await page.getByText("A new version is ready.").count(), 0)
})

served("it can be installed", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
  const devtools = await ann.context.newCDPSession(page)
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors")
  // Where nothing is kept, nothing can be installed: the profile of a test is such a window.
  const left = installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")
  assert.deepEqual(left, [])
  const { errors, data } = await devtools.send("Page.getAppManifest")
  assert.deepEqual([errors, JSON.parse(data).name], [[], "Selvedge Notes"])
})

served("two tabs of one person show the same", async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ examples: false })
  await ann.write("Shared", "one ")
  await ann.saved()
  const other = await ann.context.newPage()
  await other.goto(ann.page.url())
  await other.waitForFunction(() => document.querySelector("textarea")?.value === "one ")
  await ann.text.focus()
  await ann.page.keyboard.press("Control+End")
  await ann.page.keyboard.type("two ")
  await other.waitForFunction(() => document.querySelector("textarea")?.value === "one two ")
  await ann.page.close()
  await other.getByLabel("Text", { exact: true }).focus()
  await other.keyboard.press("Control+End")
  await other.keyboard.type("three")
  await other.locator("html[data-saved=yes]").waitFor({ state: "attached" })
  await other.reload()
  await other.waitForFunction(() => document.querySelector("textarea")?.value === "one two three")
})
