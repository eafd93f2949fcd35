import assert from "node:assert/strict"
import { heardNotices, hearNotices, install, release, until, workerControl } from "./application.js"
import { inBrowser } from "./browser.js"

/** A worker that sends what waits in the store, and says on a push message what came. */
const WORKER = `
  store: "outbox",
  flush: async () => {
    const store = await kit.openStore("outbox")
    await store.claim()
    for (const id of await store.metaKeys("letter:")) {
      const { ok } = await fetch("/send", { method: "POST", body: id })
      if (!ok) throw new Error("not sent")
      await store.save({ meta: { [id]: undefined } })
    }
    store.close()
  },
  wake: async message => message.text() && { title: message.text(), tag: "news" },`

/** A server that counts letters, and answers when it is let. */
function postOffice(site) {
  const office = { received: [], isOpen: true, held: [] }
  site.files.set("/send", async (request, response) => {
    let id = ""
    for await (const chunk of request) id += chunk
    office.received.push(id)
    office.arrived?.()
    if (office.isOpen) response.end()
    else office.held.push(response)
  })
  office.next = () => new Promise(resolve => (office.arrived = resolve))
  return office
}

const write = (tab, ...ids) =>
  tab.evaluate(async ids => {
    const store = await client.openStore("outbox")
    await store.claim()
    await store.save({ meta: Object.fromEntries(ids.map(id => [`letter:${id}`, true])) })
    store.close()
  }, ids)

const isEmpty = tab => until(tab, async () => (await (await client.openStore("outbox")).metaKeys("letter:")).length === 0)

inBrowser("what was written offline is sent once there is a network, by the worker", async visit => {
  release(visit.site, "v1", {}, WORKER)
  const office = postOffice(visit.site)
  const tab = await install(visit)
  await visit.context.setOffline(true)
  await write(tab, "a", "b")
  assert.equal(await tab.evaluate(() => app.requestFlush()), true)
  assert.deepEqual(office.received, [])
  await visit.context.setOffline(false)
  await isEmpty(tab)
  assert.deepEqual(office.received, ["letter:a", "letter:b"])
})

inBrowser("without Background Sync it is sent when it is asked for", async visit => {
  await visit.context.addInitScript(() => delete globalThis.ServiceWorkerRegistration?.prototype.sync)
  release(visit.site, "v1", {}, WORKER)
  const office = postOffice(visit.site)
  const tab = await install(visit)
  await write(tab, "a")
  assert.equal(await tab.evaluate(() => app.requestFlush()), false)
  await isEmpty(tab)
  assert.deepEqual(office.received, ["letter:a"])
})

inBrowser("a worker that is killed while it sends begins again where it was", async visit => {
  release(visit.site, "v1", {}, WORKER)
  const office = postOffice(visit.site)
  const tab = await install(visit)
  const worker = await workerControl(visit, tab)
  await write(tab, "a", "b", "c")
  office.isOpen = false
  const first = office.next()
  await worker.sync()
  await first
  office.held.pop().end()
  await office.next()
  await worker.stop()
  office.isOpen = true
  // The lock that the killed worker held is free again, or nothing would be sent.
  await worker.syncUntil(isEmpty(tab), "the letters to be sent")
  assert.deepEqual(office.received, ["letter:a", "letter:b", "letter:b", "letter:c"])
})

inBrowser("where a tab leads, it is asked to send", async visit => {
  release(visit.site, "v1", {}, WORKER)
  const office = postOffice(visit.site)
  const tab = await install(visit)
  await tab.evaluate(async () => {
    globalThis.flushes = 0
    const lead = async () => ({ stored: async () => 0, store: async () => undefined })
    globalThis.tabs = await client.Tabs.join("outbox", { lead })
    await tabs.post("this tab leads")
    globalThis.stop = client.onFlushTime(() => flushes++)
  })
  assert.equal(await tab.evaluate(() => flushes), 1, "at the start")
  const worker = await workerControl(visit, tab)
  await worker.sync()
  await until(tab, () => flushes === 2)
  await visit.context.setOffline(true)
  await visit.context.setOffline(false)
  await until(tab, () => flushes === 3)
  await tab.evaluate(() => document.dispatchEvent(new Event("visibilitychange")))
  assert.equal(await tab.evaluate(() => flushes), 4)
  await tab.evaluate(() => stop())
  await tab.evaluate(() => document.dispatchEvent(new Event("visibilitychange")))
  assert.equal(await tab.evaluate(() => flushes), 4)
  assert.deepEqual(office.received, [])
})

inBrowser("a push message wakes the worker, which shows what it says", async visit => {
  await visit.context.grantPermissions(["notifications"], { origin: visit.site.origin })
  release(visit.site, "v1", {}, WORKER)
  const tab = await install(visit)
  const worker = await workerControl(visit, tab)
  await worker.stop()
  await hearNotices(tab)
  await worker.push("two new notes")
  const [{ title, tag }] = await heardNotices(tab, 1)
  assert.deepEqual({ title, tag }, { title: "two new notes", tag: "news" })
})

/** A worker that fetches the news, and on a push message says what it has fetched. It tells of each message that comes. */
const READER = `
  store: "outbox",
  flush: async () => {
    const { ok, text } = await fetch("/news").then(async response => ({ ok: response.ok, text: await response.text() }))
    if (!ok) throw new Error("no news")
    globalThis.news = text
  },
  wake: async message => ({ title: globalThis.news ?? "nothing", tag: message.text() }),`

const TELLING = `self.addEventListener("push", ({ data }) => void fetch("/came/" + data.text()))`

for (const first of [200, 500]) {
  inBrowser(`a push message waits for a flush that begins after it, whatever came of the one before (${first})`, async visit => {
    visit.mayHear(/no news|status of 500/)
    await visit.context.grantPermissions(["notifications"], { origin: visit.site.origin })
    release(visit.site, "v1", {}, READER)
    visit.site.files.set("/sw.js", `${visit.site.files.get("/sw.js")}\n${TELLING}`)
    const messages = ["one", "two"]
    const held = []
    let count = 0
    const begun = new Promise(resolve => {
      visit.site.files.set("/news", (_request, response) => {
        if (++count > 1) return response.end("new")
        held.push(response)
        resolve()
      })
    })
    const came = messages.map(
      message =>
        new Promise(resolve => {
          visit.site.files.set(`/came/${message}`, (_request, response) => resolve(response.end()))
        }),
    )
    const tab = await install(visit)
    await hearNotices(tab)
    const worker = await workerControl(visit, tab)
    await worker.sync()
    await begun
    for (const message of messages) await worker.push(message)
    await Promise.all(came)
    held[0].writeHead(first).end("old")
    const notices = (await heardNotices(tab, 2)).map(({ tag, title }) => [tag, title]).sort()
    assert.deepEqual(notices, [
      ["one", "new"],
      ["two", "new"],
    ])
    assert.equal(count, 2, "messages that come during one flush share the next")
  })
}

const KEY = "BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U"

inBrowser("a subscription needs a key, and the person's word", async visit => {
  visit.mayHear(/does not support the Push API in incognito mode/)
  release(visit.site, "v1")
  const tab = await install(visit)
  const kind = key =>
    tab.evaluate(
      key =>
        app.subscribe(key).then(
          () => "subscribed",
          error => error.kind,
        ),
      key,
    )
  assert.equal(await kind(KEY), "denied")
  assert.equal(await kind("?"), "invalid")
  assert.equal(await tab.evaluate(() => app.unsubscribe()), false)
})

inBrowser("a subscription is made with the key, kept, and replaced with another key", async visit => {
  // No push service takes this browser: what the page asks of its manager is answered here.
  await visit.context.addInitScript(() => {
    globalThis.made = []
    let current = null
    PushManager.prototype.getSubscription = async () => current
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
      made.push({ userVisibleOnly, key: [...applicationServerKey] })
      const options = { applicationServerKey: applicationServerKey.slice().buffer }
      return (current = {
        options,
        toJSON: () => ({ endpoint: `https://push.example/${made.length}` }),
        unsubscribe: async () => !(current = null),
      })
    }
  })
  release(visit.site, "v1")
  const tab = await install(visit)
  const subscribe = async key => (await tab.evaluate(key => app.subscribe(key), key)).endpoint.at(-1)
  assert.deepEqual([await subscribe(KEY), await subscribe(KEY), await subscribe("AQID")], ["1", "1", "2"])
  assert.deepEqual((await tab.evaluate(() => made))[1], { userVisibleOnly: true, key: [1, 2, 3] })
  assert.deepEqual((await tab.evaluate(() => made))[0].key, [...Buffer.from(KEY, "base64url")])
  assert.equal(await tab.evaluate(() => app.unsubscribe()), true)
})
