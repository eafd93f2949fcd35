import assert from "node:assert/strict"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after } from "node:test"
import { heardNotices, hearNotices, TELLS_NOTICES } from "../../../packages/client/test/application.js"
import { Program } from "../../../packages/client/test/program.js"
import { PushService, Subscriber, stubPushManager } from "../../../packages/client/test/push-service.js"
import { inTime } from "../../../packages/client/test/waits.js"
import { inBrowser } from "./browser.js"
import { DIST } from "./built.js"
import { noRelay, Up } from "./up.js"

const LABEL = "Tell me about changes when the app is closed"

const service = await PushService.start()
after(() => service.stop())

const config = `
workers 1
admin #false
telemetry { access-log #false }
drain-timeout "1s"
listener "web" { address "127.0.0.1:0" }
route "notes" { static "${DIST}" }
core {
    data-dir "./data"
    sync {
        guests "vaults/"
        push { contact "mailto:ops@example.org"; services "${service.address}"; after "0s"; every "1s" }
    }
}
`

/** The app and a relay that wakes, as somebody serves them who has a config. */
class Served {
  #folder
  #program

  static async start() {
    const served = new Served()
    served.#folder = await mkdtemp(join(tmpdir(), "selvedge-told-"))
    await writeFile(join(served.#folder, "selvedge.kdl"), config)
    served.#program = await Program.start(process.env.SELVEDGE, ["up"], { cwd: served.#folder }, async program => {
      const [, origin] = await program.said(/listener=web.*url=(http:\/\/127\.0\.0\.1:\d+)/)
      served.origin = origin
      await program.serves(origin)
    })
    return served
  }

  async stop() {
    await this.#program.end()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Has a push message delivered to the worker. */
async function deliver({ context }, page, data) {
  const devtools = await context.newCDPSession(page)
  const registered = new Promise(resolve => {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations: [first] }) => first && resolve(first.registrationId))
  })
  await devtools.send("ServiceWorker.enable")
  await devtools.send("ServiceWorker.deliverPushMessage", {
    origin: new URL(page.url()).origin,
    registrationId: await inTime(registered, "a registered worker"),
    data,
  })
}

/** The worker of a page, which is woken if it sleeps, and tells pages of the notices that it shows. */
async function tellingWorker({ context }, page) {
  const woken = context.serviceWorkers()[0] ?? context.waitForEvent("serviceworker")
  const [worker] = await Promise.all([woken, page.evaluate(() => fetch("icon.svg"))])
  await worker.evaluate(TELLS_NOTICES)
}

inBrowser(
  "who asked for it is told of changes while the app is closed",
  async (person, site) => {
    // What another try left is nothing to this one.
    service.clear()
    const ann = await person()
    const subscriber = new Subscriber(`${service.address}/ann`)
    await ann.context.addInitScript(stubPushManager, subscriber.json)
    await ann.context.grantPermissions(["notifications"], { origin: site.origin })
    await ann.visit()
    await ann.found({ name: "Ours", examples: false })
    await ann.write("Plan", "one")
    await ann.synced()
    const link = await ann.invite()
    const ben = await person()
    await ben.page.goto(link)
    await ben.row("Plan").waitFor()

    await ann.command("Settings")
    const box = ann.page.getByLabel(LABEL)
    assert.equal(await box.isChecked(), false)
    await ann.page.evaluate(() => navigator.serviceWorker.ready)
    await box.check()
    await ann.page.waitForFunction(() => JSON.parse(localStorage.getItem("notes:settings")).isTold)
    await ann.page.keyboard.press("Escape")
    // What she writes comes to the relay after what she asked for.
    await ann.write("Mine", "two")
    await ann.synced()
    // A picture by itself is a page without an icon.
    ann.mayHear(/404/)
    const other = await ann.context.newPage()
    await other.goto(`${site.origin}/icon-192.png`)
    await ann.page.close()

    await ben.write("By Ben", "three")
    // All of it is there before she fetches it: the first of it has woken her already.
    await ben.synced()
    const message = subscriber.open((await service.next()).body)
    assert.equal(JSON.parse(message).documents.length, 1)
    await tellingWorker(ann, other)
    await hearNotices(other)
    await deliver(ann, other, message)
    // It comes once the news are here.
    assert.deepEqual(
      (await heardNotices(other, 1)).map(({ title }) => title),
      ["Notes"],
    )
    ann.mayHear(/ERR_INTERNET_DISCONNECTED|WebSocket/)
    await ann.context.setOffline(true)
    await other.goto(site.origin)
    await other.locator(".row", { hasText: "By Ben" }).waitFor()
  },
  { start: () => Served.start(), isSkipped: noRelay },
)

inBrowser(
  "where the relay wakes nobody it says so, and stays off",
  async person => {
    const ann = await person()
    ann.mayHear(/404/)
    await ann.context.addInitScript(stubPushManager, new Subscriber(`${service.address}/ann`).json)
    await ann.visit()
    await ann.found({ examples: false })
    await ann.page.evaluate(() => navigator.serviceWorker.ready)
    await ann.command("Settings")
    await ann.isTold("That did not work: the relay wakes nobody.", () => ann.page.getByLabel(LABEL).click())
    assert.equal(await ann.page.getByLabel(LABEL).isChecked(), false)
  },
  { start: () => Up.start(), isSkipped: noRelay },
)
