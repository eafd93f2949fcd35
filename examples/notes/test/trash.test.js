import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const run = async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Old plan")
  await ann.command("Move to the trash")
  const synced = () => ann.page.locator(".status", { hasText: "Synced" }).waitFor()
  await ann.saved()
  await synced()
  await ann.context.addInitScript(() => {
    const now = Date.now.bind(Date)
    Date.now = () => now() + 60 * 86_400_000
  })
  // Who asks before it heard the relay's clock is told what time it is.
  ann.mayHear(/status of 4\d\d/)
  await ann.page.reload()
  await synced()
  await ann.command("Trash")
  await ann.row("Old plan").waitFor()
}

inBrowser("a clock that is months ahead empties nobody's trash", run, { start: () => Up.start(), isSkipped: noRelay })

const behind = async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("New plan")
  await ann.synced()
  const ben = await person()
  await ben.context.addInitScript(() => {
    const now = Date.now.bind(Date)
    Date.now = () => now() - 60 * 86_400_000
  })
  ben.mayHear(/status of 4\d\d/)
  await ben.join(await ann.invite(), "Ours")
  await ben.row("New plan").click()
  await ben.page.waitForFunction(() => document.querySelector("input.title").value === "New plan")
  await ben.command("Move to the trash")
  await ben.synced()
  await ann.row("New plan").waitFor({ state: "detached" })
  const synced = () => ann.page.locator(".status", { hasText: "Synced" }).waitFor()
  await ann.page.reload()
  await synced()
  await ann.command("Trash")
  await ann.row("New plan").waitFor()
}

inBrowser("a clock that is months behind makes no trash final", behind, { start: () => Up.start(), isSkipped: noRelay })
