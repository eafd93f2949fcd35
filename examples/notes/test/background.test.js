import assert from "node:assert/strict"
import { strToU8, zipSync } from "fflate"
import { workerControl } from "../../../packages/client/test/application.js"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"
import { Wire } from "./wire.js"

const COUNT = 300
/** What waits is more than this, and is more than one message. */
const BYTES = 200_000

/** The app, behind a wire that a test can cut; who is on `direct` is not behind it. */
class Cut {
  static async start() {
    const cut = new Cut()
    cut.up = await Up.start()
    cut.wire = await Wire.to(cut.up.origin)
    cut.origin = cut.wire.origin
    return cut
  }

  async stop() {
    await this.wire.stop()
    await this.up.stop()
  }
}

const served = (name, run) => inBrowser(name, run, { start: () => Cut.start(), isSkipped: noRelay })

const titles = Array.from({ length: COUNT }, (_, at) => `Note ${String(at).padStart(3, "0")}`)

function archive() {
  // Words that do not compress, as what people write does not.
  const words = at =>
    Array.from({ length: 120 }, (_, word) => ((at * 7919 + word * 104_729) ** 2 % 1_000_000_007).toString(36)).join(" ")
  return zipSync(Object.fromEntries(titles.map((title, at) => [`${title}.md`, strToU8(`${words(at)} ${words(at + 999)}`)])), {
    level: 1,
  })
}

/** Takes in many notes. */
async function importNotes({ page }) {
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name: "Import notes" }).click()
  const file = { name: "Notes.zip", mimeType: "application/zip", buffer: Buffer.from(archive()) }
  await page.getByLabel("Files", { exact: true }).setInputFiles(file)
  await page.locator("dialog").getByText(`${COUNT} notes were imported.`).waitFor()
  await page.getByRole("button", { name: "Done" }).click()
}

const listed = ({ page }) => page.locator(".list .count").textContent().then(Number)

served(
  "what was written offline is sent by the service worker, which is killed in the middle of it, and nothing is lost",
  async (person, cut) => {
    const [ann, ben] = [await person(), await person()]
    await ann.context.addInitScript(() => {
      globalThis.asked = []
      const { register } = SyncManager.prototype
      SyncManager.prototype.register = function (tag) {
        asked.push(tag)
        return register.call(this, tag)
      }
    })
    await ann.visit()
    await ann.found({ name: "Ours", examples: false })
    await ann.write("Plan", "one")
    await ann.synced()
    const link = await ann.invite()
    ben.site = cut.up
    await ben.join(link.replace(cut.origin, cut.up.origin), "Ours")
    await ben.row("Plan").waitFor()
    await ann.page.waitForFunction(() => navigator.serviceWorker.controller !== null)
    // A page of the site that is not the app: only the worker can send.
    // Of such a page the browser looks for an icon that is not there.
    ann.mayHear(/status of 404/)
    const other = await ann.context.newPage()
    await other.goto(`${cut.origin}/icon.svg`)
    const worker = await workerControl({ site: cut, devtools: page => ann.context.newCDPSession(page) }, other)

    await ann.goOffline()
    await importNotes(ann)
    await ann.saved()
    await ann.page.locator(".status", { hasText: /Offline · \d+ waiting/ }).waitFor()
    await ann.page.waitForFunction(() => asked.includes("selvedge-flush"))
    await ann.page.close()

    const stuck = cut.wire.stopAfter(BYTES)
    await ann.context.setOffline(false)
    await worker.syncUntil(stuck, "the worker to send more than may pass")
    await worker.stop()
    // A part of it was taken, and the rest never arrived.
    await ben.page.waitForFunction(() => Number(document.querySelector(".list .count").textContent) > 1)
    const sent = await listed(ben)
    assert.ok(sent < 1 + COUNT, `${sent} of ${1 + COUNT} notes came before the worker was killed`)

    cut.wire.mend()
    const all = ben.page.locator(".list .count", { hasText: new RegExp(`^${1 + COUNT}$`) }).waitFor()
    await worker.syncUntil(all, "the rest")
    ann.page = other
    await ann.visit()
    await ann.page.locator(".list .count", { hasText: new RegExp(`^${1 + COUNT}$`) }).waitFor()
    await ann.synced()
    for (const one of [ann, ben]) {
      await one.page.getByLabel("Search notes").fill(titles.at(-1))
      await one.row(titles.at(-1)).first().click()
      await one.page.waitForFunction(title => document.querySelector("input.title").value === title, titles.at(-1))
    }
    assert.equal(await ann.text.inputValue(), await ben.text.inputValue())
  },
)
