import assert from "node:assert/strict"
import { readFile, readdir } from "node:fs/promises"
import { join } from "node:path"
import { until, workerControl } from "./application.js"
import { withRelay } from "./relay.js"

/** In a page: a workspace with a relay, and the document of a link, the one that is there, or a new one. */
async function start({ link, encrypted, token } = {}) {
  const { Workspace, defineSchema, t } = client
  globalThis.schema = defineSchema({ notes: { title: t.string(), tags: t.set(t.string()), stars: t.counter(), body: t.text() } })
  const options = token ? { token: async () => token } : {}
  globalThis.workspace = await Workspace.open({ name: "notes", relay: "/_selvedge/sync", ...options })
  const [known] = await workspace.documents()
  if (link) globalThis.doc = await workspace.join(link, schema)
  else if (known) globalThis.doc = await workspace.get(known.id, schema)
  else globalThis.doc = await workspace.create(schema, { title: "Vault", encrypted })
}

async function open(visit, options) {
  const page = await visit.open()
  await page.evaluate(start, options)
  return page
}

const invite = (page, options) => page.evaluate(options => doc.invite(options), options)
const write = (page, title, id) => page.evaluate(([title, id]) => void doc.notes.insert({ title }, id), [title, id])
const shows = (page, title, id) => until(page, ([title, id]) => doc.notes.get(id)?.title === title, [title, id])
const synced = page => page.evaluate(() => doc.synced())
const isLive = page => until(page, () => workspace.state.value.connection === "live" && workspace.state.value.pending === 0)
/** What a document reads as, for who compares. */
const content = page =>
  page.evaluate(() => JSON.stringify(doc.notes.all().map(({ id, title, tags, stars }) => [id, title, [...tags], stars.value])))

withRelay("two browsers that edit the same offline come to the same", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const ann = await open(first)
  await write(ann, "Milk", "a")
  const link = await invite(ann)
  const ben = await open(second, { link })
  await shows(ben, "Milk", "a")
  for (const { context } of [first, second]) await context.setOffline(true)
  await ann.evaluate(() => {
    doc.notes.get("a").title = "of Ann"
    doc.notes.get("a").tags.add("x")
    doc.notes.get("a").stars.add(2)
    for (let at = 0; at < 500; at++) doc.notes.insert({ title: `Ann's ${at}` })
  })
  await ben.evaluate(() => {
    doc.notes.get("a").title = "of Ben"
    doc.notes.get("a").tags.add("y")
    doc.notes.get("a").stars.add(3)
    for (let at = 0; at < 500; at++) doc.notes.insert({ title: `Ben's ${at}` })
  })
  for (const page of [ann, ben]) await page.evaluate(() => doc.saved())
  for (const { context } of [first, second]) await context.setOffline(false)
  await synced(ann)
  await synced(ben)
  for (const page of [ann, ben]) await until(page, () => doc.notes.size === 1001 && doc.notes.get("a").stars.value === 5)
  for (const page of [ann, ben]) await until(page, () => doc.notes.get("a").tags.size === 2)
  await isLive(ann)
  await isLive(ben)
  assert.equal(await content(ann), await content(ben))
})

withRelay("a relay that is gone for a while changes nothing but the state", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const gone = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|503/
  for (const visit of [first, second]) visit.mayHear(gone)
  const ann = await open(first)
  const ben = await open(second, { link: await invite(ann) })
  await isLive(ben)
  await relay.end()
  for (const page of [ann, ben]) await until(page, () => workspace.state.value.connection !== "live")
  await write(ann, "while it was gone", "a")
  await write(ben, "here too", "b")
  await until(ann, () => workspace.state.value.pending > 0)
  await relay.begin()
  // The next try may be a while off; a page that becomes visible does not wait.
  for (const page of [ann, ben]) await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")))
  await shows(ann, "here too", "b")
  await shows(ben, "while it was gone", "a")
  await isLive(ann)
  await isLive(ben)
})

withRelay("a clock that is wrong by a day loses nothing and decides nothing", async (relay, visit) => {
  const [first, second, third] = [await visit(), await visit(), await visit()]
  const shift = days => {
    const now = Date.now.bind(Date)
    Date.now = () => now() + days * 86_400_000
  }
  await first.context.addInitScript(shift, 1)
  await second.context.addInitScript(shift, -1)
  const ahead = await open(first)
  await until(ahead, () => Math.abs(workspace.state.value.clockAheadMs + 86_400_000) < 60_000)
  await write(ahead, "from tomorrow", "a")
  await isLive(ahead)
  const link = await invite(ahead)
  // Who asks before it ever heard the relay's clock is told what time it is.
  second.mayHear(/status of 4\d\d/)
  const behind = await open(second, { link })
  await shows(behind, "from tomorrow", "a")
  await write(behind, "from yesterday", "a")
  await shows(ahead, "from yesterday", "a")
  const right = await open(third, { link })
  await shows(right, "from yesterday", "a")
  await write(right, "from today", "a")
  for (const page of [ahead, behind]) await shows(page, "from today", "a")
})

withRelay("followers write through the leader, and go on when it ends", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const tabs = [await open(first), await open(first), await open(first)]
  const elsewhere = await open(second, { link: await invite(tabs[2]) })
  for (const [at, tab] of tabs.entries()) await write(tab, `of ${at}`, String(at))
  for (const at of tabs.keys()) await shows(elsewhere, `of ${at}`, String(at))
  await tabs[0].close()
  await write(tabs[1], "after", "0")
  await shows(elsewhere, "after", "0")
  await write(elsewhere, "back", "1")
  for (const tab of tabs.slice(1)) await shows(tab, "back", "1")
})

withRelay("people see who is there, in which tab, and who went", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const [ann, annAgain] = [await open(first), await open(first)]
  const ben = await open(second, { link: await invite(ann) })
  for (const [page, name] of [[ann, "Ann"], [annAgain, "Ann again"], [ben, "Ben"]]) await page.evaluate(name => doc.presence.set({ name }), name) // prettier-ignore
  const sees = (page, ...names) =>
    until(page, names => doc.presence.peers.value.map(({ state }) => state.name).sort().join() === names.join(), names) // prettier-ignore
  await sees(ann, "Ann again", "Ben")
  await sees(annAgain, "Ann", "Ben")
  await sees(ben, "Ann", "Ann again")
  await annAgain.close()
  await sees(ben, "Ann")
  await ann.evaluate(() => doc.presence.set(undefined))
  await sees(ben)
})

withRelay("who is there is seen also when another tab leads", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const [ann, annAgain] = [await open(first), await open(first)]
  const ben = await open(second, { link: await invite(ann) })
  await annAgain.evaluate(() => doc.presence.set({ name: "Ann" }))
  const seesAnn = () => until(ben, () => doc.presence.peers.value.some(({ state }) => state.name === "Ann"))
  await seesAnn()
  await ann.close()
  await until(annAgain, () => workspace.state.value.role === "leader")
  await write(annAgain, "still here", "a")
  await shows(ben, "still here", "a")
  await seesAnn()
})

withRelay("a clock that is weeks ahead does not ask for tokens without end", async (relay, visit) => {
  const profile = await visit()
  await profile.context.addInitScript(() => {
    const now = Date.now.bind(Date)
    Date.now = () => now() + 30 * 86_400_000
  })
  // Who asks before it ever heard the relay's clock is told what time it is.
  profile.mayHear(/status of 4\d\d/)
  const page = await profile.open()
  let asked = 0
  page.on("request", request => request.url().includes("/device/") && asked++)
  await page.evaluate(start)
  for (let at = 0; at < 20; at++) {
    await write(page, `note ${at}`, String(at))
    await synced(page)
  }
  assert.ok(asked > 0 && asked <= 4, `${asked} requests`)
})

withRelay("an encrypted document is read by members, and by nobody else", async (relay, visit) => {
  const [first, second, third] = [await visit(), await visit(), await visit()]
  const ann = await open(first, { encrypted: true })
  await ann.evaluate(() => doc.notes.insert({ title: "Xylophone", tags: ["Zebrafish"] }, "a"))
  await ann.evaluate(() => doc.presence.set({ name: "Quetzal" }))
  const link = await invite(ann, { once: true })
  const ben = await open(second, { link })
  await shows(ben, "Xylophone", "a")
  await write(ben, "Yggdrasil", "b")
  await shows(ann, "Yggdrasil", "b")
  await until(ben, () => doc.presence.peers.value[0]?.state.name === "Quetzal")
  assert.deepEqual(await ben.evaluate(() => [doc.isEncrypted, doc.notes.size]), [true, 2])
  const members = await ann.evaluate(() => doc.members())
  assert.deepEqual(members.filter(({ isSelf }) => isSelf).length, 1)
  assert.ok(members.some(({ device }) => device !== members.find(({ isSelf }) => isSelf).device))
  // The link was for one.
  third.mayHear(/status of 4\d\d/)
  const carl = await third.open()
  assert.equal(await carl.evaluate(start, { link }).then(() => "in", ({ message }) => /denied|gives no token|lets nobody/.test(message) ? "out" : message), "out") // prettier-ignore
  await isLive(ann)
  await relay.end()
  for (const visit of [first, second, third]) visit.mayHear(/WebSocket connection to .* failed/)
  for (const word of ["Xylophone", "Zebrafish", "Quetzal", "Yggdrasil"]) {
    for (const file of await filesOf(relay.data)) assert.ok(!file.includes(word), `a file of the relay has ${word}`)
  }
  await relay.begin()
})

/** All that lies in a folder. */
async function filesOf(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => readFile(join(entry.parentPath ?? entry.path, entry.name)))
  return Promise.all(files)
}

withRelay("who is taken out reads nothing that is written after", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const ann = await open(first, { encrypted: true })
  const ben = await open(second, { link: await invite(ann) })
  await write(ann, "before", "a")
  await shows(ben, "before", "a")
  const device = await ben.evaluate(() => workspace.device)
  await ann.evaluate(device => doc.remove(device), device)
  await write(ann, "after", "a")
  await isLive(ann)
  await until(ben, async () => (await doc.inspect()).events.some(({ what }) => /needsKey|suspicious/i.test(what)))
  assert.equal(await ben.evaluate(() => doc.notes.get("a").title), "before")
  assert.equal(
    (await ann.evaluate(() => doc.members())).some(member => member.device === device),
    false,
  )
})

withRelay("who may only read is told so, and is refused before anything is written", async (relay, visit) => {
  const [first, second] = [await visit(), await visit()]
  const ann = await open(first)
  await write(ann, "Milk", "a")
  const ben = await open(second, { link: await invite(ann, { rights: ["read"] }) })
  await shows(ben, "Milk", "a")
  assert.deepEqual(await ben.evaluate(() => ["read", "write"].map(right => doc.rights.value.includes(right))), [true, false])
  const kinds = await ben.evaluate(() =>
    [
      () => (doc.notes.get("a").title = "x"),
      () => doc.notes.insert({ title: "y" }),
      () => doc.transaction(() => doc.notes.delete("a")),
    ].map(write => {
      try {
        write()
        return "written"
      } catch (error) {
        return error.kind
      }
    }),
  )
  assert.deepEqual(kinds, ["denied", "denied", "denied"])
  assert.deepEqual(await ben.evaluate(() => [doc.notes.size, doc.notes.get("a").title, workspace.state.value.pending]), [
    1,
    "Milk",
    0,
  ])
  // A second link that allows more is as good as the first.
  await ben.evaluate(link => workspace.join(link, schema), await invite(ann))
  await until(ben, () => doc.rights.value.includes("write"))
  await write(ben, "Oat milk", "a")
  await shows(ann, "Oat milk", "a")
})

withRelay(
  "a link that allows a member of an encrypted document more says why it does not, and what to do",
  async (relay, visit) => {
    const [first, second] = [await visit(), await visit()]
    const ann = await open(first, { encrypted: true })
    await write(ann, "Milk", "a")
    const ben = await open(second, { link: await invite(ann, { rights: ["read"] }) })
    await shows(ben, "Milk", "a")
    const link = await invite(ann)
    const join = link =>
      ben.evaluate(
        link =>
          workspace.join(link, schema).then(
            joined => ((globalThis.doc = joined), "in"),
            ({ kind, message }) => `${kind}: ${message}`,
          ),
        link,
      )
    assert.match(
      await join(link),
      /^denied: .*have it taken out, forget the document here, and open a link that is made after that$/,
    )
    // It is in with what it had, and the remedy is one.
    await write(ann, "Oats", "a")
    await shows(ben, "Oats", "a")
    await ann.evaluate(device => doc.remove(device), await ben.evaluate(() => workspace.device))
    await synced(ann)
    await ben.evaluate(() => workspace.forget(doc.id))
    assert.match(await join(link), /^denied: .*older than the removal/)
    assert.equal(await join(await invite(ann)), "in")
    await write(ben, "Rye", "a")
    await shows(ann, "Rye", "a")
    const device = await ben.evaluate(() => workspace.device)
    const members = await ann.evaluate(() => doc.members())
    assert.ok(members.find(member => member.device === device).rights.includes("write"))
  },
)

withRelay("a device whose store was thrown away begins again from the relay", async (relay, visit) => {
  for (const encrypted of [false, true]) {
    const profile = await visit()
    const page = await open(profile, { encrypted })
    await write(page, "kept", "a")
    await synced(page)
    const [device, id] = await page.evaluate(() => [workspace.device, doc.id])
    const devtools = await profile.devtools(page)
    await devtools.send("Storage.clearDataForOrigin", { origin: relay.origin, storageTypes: "indexeddb" })
    await page.close()
    const again = await open(profile)
    await shows(again, "kept", "a")
    assert.deepEqual(await again.evaluate(() => [workspace.device, doc.id, workspace.state.value.found]), [device, id, "evicted"])
    await write(again, "goes on", "a")
    await synced(again)
  }
})

/** A worker that sends what waits. */
const WORKER = `import { serve } from "/dist/worker.js"
import { flushWorkspace } from "/dist/flush.js"
self.addEventListener("unhandledrejection", ({ reason }) => console.error("uncaught:", reason.message))
serve({ manifest: { version: "1", files: [] }, store: "notes", flush: () => flushWorkspace({ name: "notes", relay: "/_selvedge/sync" }) })`

withRelay("what waits is sent by the service worker when no tab lives, also after it was killed", async (relay, visit) => {
  await relay.put("sw.js", WORKER)
  const [first, second] = [await visit(), await visit()]
  // The network may go again while a tab or the worker is about to connect.
  first.mayHear(/WebSocket is closed before the connection is established/)
  const ann = await open(first)
  const ben = await open(second, { link: await invite(ann) })
  await isLive(ann)
  await ann.evaluate(() => client.Installation.install("/sw.js").then(() => navigator.serviceWorker.ready))
  await first.context.setOffline(true)
  await ann.evaluate(() => {
    for (let at = 0; at < 300; at++) doc.notes.insert({ title: `offline ${at}` }, String(at))
    return doc.saved()
  })
  // Another page of the site, without a workspace: only the worker can send.
  await relay.put("empty.html", '<!doctype html><title>empty</title><link rel="icon" href="data:,">')
  const other = await first.context.newPage()
  await first.context.setOffline(false)
  await other.goto(`${relay.origin}/empty.html`)
  await first.context.setOffline(true)
  await ann.close()
  const worker = await workerControl({ ...first, site: relay, devtools: page => first.devtools(page) }, other)
  await first.context.setOffline(false)
  await worker.sync()
  await worker.stop()
  const all = until(ben, () => doc.notes.size === 300)
  await worker.syncUntil(all, "all that was written offline")
  const again = await open(first)
  await isLive(again)
  assert.equal(await again.evaluate(() => doc.notes.size), 300)
})

withRelay("who has a backend of its own brings its tokens", async (relay, visit) => {
  const profile = await visit()
  const page = await profile.open()
  const device = await page.evaluate(async () => {
    globalThis.workspace = await client.Workspace.open({
      name: "notes",
      relay: "/_selvedge/sync",
      token: (id, device) => backend(id, device),
    })
    return workspace.device
  })
  await profile.context.exposeFunction("backend", (id, device) =>
    relay.run("sync", "token", id.replace("default/", ""), "--device", device),
  )
  await page.evaluate(async () => {
    const schema = client.defineSchema({ notes: { title: client.t.string() } })
    globalThis.doc = await workspace.get("default/shared/plan", schema)
    doc.notes.insert({ title: "planned" }, "a")
    await doc.synced()
  })
  assert.match(device, /^[0-9a-f]{64}$/)
})
