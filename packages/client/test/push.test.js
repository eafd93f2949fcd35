import assert from "node:assert/strict"
import { after } from "node:test"
import { heardNotices, hearNotices, TELLS_NOTICES, until, workerControl } from "./application.js"
import { PushService, Subscriber, stubPushManager } from "./push-service.js"
import { withRelay as withAnyRelay } from "./relay.js"

const service = await PushService.start()
after(() => service.stop())

const PUSH = `push { contact "mailto:ops@example.org"; services "${service.address}"; after "0s"; every "1s" }`

/** A test with a relay that wakes: no message of another test, or of another try, is taken for one of it. */
function withRelay(name, run) {
  const attempt = (relay, visit) => {
    service.clear()
    return run(relay, visit)
  }
  withAnyRelay(name, attempt, PUSH)
}

const WORKER = `import { changedDocuments, serve } from "/dist/worker.js"
import { flushWorkspace, pusherOf } from "/dist/flush.js"
${TELLS_NOTICES}
self.addEventListener("unhandledrejection", ({ reason }) => console.error("uncaught:", reason.message))
serve({
  manifest: { version: "1", files: [] },
  store: "notes",
  flush: () => flushWorkspace({ name: "notes", relay: "/_selvedge/sync" }),
  wake: async message => ({ title: "Notes", body: changedDocuments(message).join(), tag: "changed" }),
  pusher: pusherOf({ name: "notes", relay: "/_selvedge/sync" }),
})`

/** In a page: a workspace, with a document that is new or a link's, and the worker. */
async function start(link) {
  const { Installation, Workspace, defineSchema, t } = client
  const schema = defineSchema({ notes: { title: t.string() } })
  globalThis.workspace = await Workspace.open({ name: "notes", relay: "/_selvedge/sync" })
  globalThis.doc = link ? await workspace.join(link, schema) : await workspace.create(schema)
  globalThis.app = await Installation.install("/sw.js")
  await navigator.serviceWorker.ready
}

async function open(visit, link) {
  const page = await visit.open()
  await page.evaluate(start, link)
  return page
}

/** In a page without a workspace of its own: what is stored, read without a relay. */
async function stored() {
  const { Workspace, defineSchema, t } = client
  const workspace = await Workspace.open({ name: "notes" })
  const [{ id }] = await workspace.documents()
  const doc = await workspace.get(id, defineSchema({ notes: { title: t.string() } }))
  const titles = doc.notes.all().map(({ title }) => title)
  await workspace.close()
  return titles.sort()
}

const write = (page, title) => page.evaluate(title => (doc.notes.insert({ title }), doc.synced()), title)
const kindOf = (page, call) => page.evaluate(`${call}.then(() => "done", error => error.kind)`)

withRelay("a browser whose tabs are closed is woken, fetches the change, and tells the person", async (relay, visit) => {
  await relay.put("sw.js", WORKER)
  const [first, second] = [await visit(), await visit()]
  const subscriber = new Subscriber(`${service.address}/ben`)
  await second.context.addInitScript(stubPushManager, subscriber.json)
  await second.context.grantPermissions(["notifications"], { origin: relay.origin })
  const ann = await open(first)
  await write(ann, "Milk")
  const link = await ann.evaluate(() => doc.invite())
  const ben = await open(second, link)
  await until(ben, () => doc.notes.size === 1)
  await ben.evaluate(() => client.wakeOnChange(workspace, app))
  const { key } = await (await fetch(`${relay.origin}/_selvedge/sync/push`)).json()
  assert.deepEqual(await ben.evaluate(() => serverKey), [...Buffer.from(key, "base64url")])
  // What he writes comes to the relay after what he wants of it.
  await write(ben, "Oats")
  const other = await second.open()
  const worker = await workerControl({ ...second, site: relay, devtools: page => second.devtools(page) }, other)
  await ben.close()
  await write(ann, "Rye")

  const { path, headers, body } = await service.next()
  assert.deepEqual([path, headers["content-encoding"], headers.urgency], ["/ben", "aes128gcm", "normal"])
  const message = subscriber.open(body)
  const id = await ann.evaluate(() => doc.id)
  assert.deepEqual(JSON.parse(message), { documents: [id] })

  await worker.stop()
  await hearNotices(other)
  await worker.push(message)
  const [{ title, body: text }] = await heardNotices(other, 1)
  assert.deepEqual({ title, text }, { title: "Notes", text: id })
  assert.deepEqual(await other.evaluate(stored), ["Milk", "Oats", "Rye"])

  // The worker was there: what comes next is something new.
  await write(ann, "Tea")
  assert.deepEqual(JSON.parse(subscriber.open((await service.next()).body)), { documents: [id] })
})

withRelay("a browser that is let sleep is not woken", async (relay, visit) => {
  await relay.put("sw.js", WORKER)
  const [first, second, third] = [await visit(), await visit(), await visit()]
  const link = await (await open(first)).evaluate(() => doc.invite())
  for (const [name, visit] of Object.entries({ ben: second, cy: third })) {
    await visit.context.addInitScript(stubPushManager, new Subscriber(`${service.address}/${name}`).json)
    await visit.context.grantPermissions(["notifications"], { origin: relay.origin })
  }
  const [ben, cy] = [await open(second, link), await open(third, link)]
  for (const page of [ben, cy]) await page.evaluate(() => client.wakeOnChange(workspace, app))
  await ben.evaluate(() => client.letSleep(workspace, app))
  for (const page of [ben, cy]) {
    await write(page, "Milk")
    await page.close()
  }
  const [ann] = first.context.pages()
  for (const title of ["Rye", "Tea"]) {
    await write(ann, title)
    assert.equal((await service.next()).path, "/cy")
  }
})

/** In a worker: a page can have the browser replace its subscription, and is told with which key the worker subscribed, if it did. */
function replaceable(json, stub, isAllowed) {
  stub(json)
  if (!isAllowed) PushManager.prototype.subscribe = () => Promise.reject(new DOMException("it is not allowed", "NotAllowedError"))
  self.addEventListener("message", event => {
    if (event.data.type !== "replace") return
    const change = new Event("pushsubscriptionchange")
    const key = event.data.key && { options: { applicationServerKey: new Uint8Array(event.data.key).buffer } }
    change.oldSubscription = key ?? null
    let work
    change.waitUntil = promise => (work = promise)
    self.dispatchEvent(change)
    const answer = (what = null) => event.ports[0].postMessage(what)
    event.waitUntil(
      Promise.resolve(work).then(
        () => answer(globalThis.serverKey),
        error => answer(`${error}`),
      ),
    )
  })
}

const replace = (page, key) =>
  page.evaluate(async key => {
    const { active } = await navigator.serviceWorker.ready
    const { port1, port2 } = new MessageChannel()
    const done = new Promise(resolve => (port1.onmessage = ({ data }) => resolve(data)))
    active.postMessage({ type: "replace", key }, [port2])
    return done
  }, key)

/** Ann, who writes, and Ben, who is woken, and whose browser replaces its subscription when it is told to; and a page of his without a workspace. */
async function annAndBen(relay, visit, isAllowed = true) {
  const again = new Subscriber(`${service.address}/ben-again`)
  const worker = `${WORKER};(${replaceable})(${JSON.stringify(again.json)}, ${stubPushManager}, ${isAllowed})`
  await relay.put("sw.js", worker)
  const [first, second] = [await visit(), await visit()]
  await second.context.addInitScript(stubPushManager, new Subscriber(`${service.address}/ben`).json)
  await second.context.grantPermissions(["notifications"], { origin: relay.origin })
  const ann = await open(first)
  const ben = await open(second, await ann.evaluate(() => doc.invite()))
  await ben.evaluate(() => client.wakeOnChange(workspace, app))
  await write(ben, "Oats")
  return { ann, ben, again, other: await second.open() }
}

for (const isOpen of [true, false]) {
  withRelay(
    `a browser that replaces its subscription ${isOpen ? "with" : "without"} a tab is woken by the new one`,
    async (relay, visit) => {
      const { ann, ben, again, other } = await annAndBen(relay, visit)
      if (!isOpen) await ben.close()
      const { key } = await (await fetch(`${relay.origin}/_selvedge/sync/push`)).json()
      // Some browsers say with which key it was, others do not.
      const old = [...Buffer.from(key, "base64url")]
      assert.deepEqual(await replace(other, isOpen ? old : undefined), old)
      if (isOpen) {
        await write(ben, "Milk")
        await ben.close()
      }
      await write(ann, "Rye")
      const { path, body } = await service.next()
      assert.equal(path, "/ben-again")
      assert.deepEqual(JSON.parse(again.open(body)), { documents: [await ann.evaluate(() => doc.id)] })
    },
  )
}

const isKept = page =>
  page.evaluate(async () => {
    const store = await client.openStore("notes")
    const kept = await store.meta("wake-up")
    store.close()
    return kept !== undefined
  })

withRelay("a browser that was let sleep, or whose person forbids it, is not subscribed again", async (relay, visit) => {
  const asleep = await annAndBen(relay, visit)
  await asleep.ben.evaluate(() => client.letSleep(workspace, app))
  assert.equal(await replace(asleep.other), null)
  assert.equal(await isKept(asleep.other), false)

  const denied = await annAndBen(relay, visit, false)
  assert.equal(await isKept(denied.other), true)
  assert.equal(await replace(denied.other), null)
  assert.equal(await isKept(denied.other), false)
})

withAnyRelay("a relay that wakes nobody says so", async (relay, visit) => {
  const profile = await visit()
  profile.mayHear(/404/)
  await relay.put("sw.js", WORKER)
  const page = await open(profile)
  assert.equal(await kindOf(page, "client.wakeOnChange(workspace, app)"), "unsupported")
  assert.equal(await kindOf(page, "workspace.wakeBy({ endpoint: 'https://push.example', keys: { auth: 'AA' } })"), "invalid")
})
