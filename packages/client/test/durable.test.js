import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { ClientError, Workspace, defineSchema, t } from "../dist/index.js"
import { gate, shelf } from "./shelf.js"
import { eventually } from "./waits.js"

const schema = defineSchema({ notes: { title: t.string(), stars: t.counter() } })

/** A workspace on this store, closed with the test. */
async function open(context, store, options = {}) {
  const workspace = await Workspace.open({ name: "test", store, ...options })
  context.after(() => workspace.close())
  return workspace
}

const titles = doc => doc.notes.all().map(({ title }) => title)

/** The titles of a document as it is in the store. */
async function stored(context, store, id) {
  return titles(await (await open(context, store)).get(id, schema))
}

test("who waits for a document that is forgotten is told, and what others write is stored", async context => {
  const store = await shelf()
  const workspace = await open(context, store)
  const [one, two] = [await workspace.create(schema), await workspace.create(schema)]
  one.notes.insert({ title: "a" })
  await one.saved()
  const waits = assert.rejects(one.synced(), { kind: "invalid" })
  await new Promise(resolve => setImmediate(resolve))
  await workspace.forget(one.id)
  two.notes.insert({ title: "b" }, "b")
  await two.saved()
  await waits
  await workspace.close()
  assert.deepEqual(await stored(context, store, two.id), ["b"])
})

test("a relay to which no connection can be made keeps nothing from the disk", async context => {
  const store = await shelf()
  const webSocket = () => {
    throw new Error("the page may not")
  }
  const workspace = await open(context, store, { relay: "http://127.0.0.1:1/sync", webSocket, token: async () => "none" })
  const troubles = []
  workspace.state.watch(({ trouble }) => troubles.push(trouble?.message))
  const doc = await workspace.create(schema)
  for (const title of ["a", "b", "c"]) {
    doc.notes.insert({ title }, title)
    await doc.saved()
  }
  assert.match(troubles.join(), /the page may not/)
  await workspace.close()
  assert.deepEqual(await stored(context, store, doc.id), ["a", "b", "c"])
})

test("the number of a post is stored with its edits, whatever has them stored", async context => {
  const store = await shelf()
  const first = await open(context, store)
  const [one, two] = [await first.create(schema), await first.create(schema)]
  await first.close()
  const { promise, open: release } = gate()
  store.gates.set(two.id, promise)
  const again = await open(context, store)
  store.saved.length = 0
  const write = id => [[{ verb: "write", id: "notes/a", field: "stars", kind: "counter", value: id }]]
  const posts = [again.post(one.id, write(1)).stored, again.post(two.id, write(2)).stored]
  // The second cannot be taken in yet, and something else has what is there stored.
  await again.ask({ type: "create", id: "default/vaults/other", title: "", isEncrypted: false })
  const edits = store.saved.filter(({ replicas = {} }) => one.id in replicas)
  assert.ok(edits.length > 0)
  for (const { meta } of edits) assert.ok(Object.entries(meta).some(([key, seq]) => key.startsWith("stored:") && seq === 1))
  release()
  await Promise.all(posts)
})

test("what comes behind a document that cannot be read keeps what is before it not from the disk", async context => {
  const store = await shelf()
  const first = await open(context, store)
  const [one, two] = [await first.create(schema), await first.create(schema)]
  await first.close()
  const { load } = store
  store.load = id => (id === two.id ? Promise.reject(new ClientError("unavailable", "the disk does not answer")) : load(id))
  const again = await open(context, store)
  store.saved.length = 0
  const write = [[{ verb: "write", id: "notes/a", field: "title", kind: "lww", value: "a" }]]
  const posts = [again.post(one.id, write).stored, again.post(two.id, write).stored]
  const isStored = () => store.saved.some(({ replicas = {} }) => one.id in replicas)
  await eventually(isStored, "what is before it to be stored")
  store.load = load
  await Promise.all(posts)
})

test("a change that the engine does not take keeps nothing from the others", async context => {
  const workspace = await open(context, await shelf())
  const doc = await workspace.create(schema)
  const write = (id, value) => [{ verb: "write", id: `notes/${id}`, field: "title", kind: "lww", value }]
  await workspace.post(doc.id, [write("a", "kept"), write("b", new Date()), write("c", "too")]).stored
  assert.deepEqual(titles(doc), ["kept", "too"])
})

test("a document that is forgotten while it is written leaves nothing, and can come again", async context => {
  const store = await shelf()
  const workspace = await open(context, store)
  const doc = await workspace.create(schema, { id: "default/vaults/one" })
  await doc.saved()
  const { promise, open: release } = gate()
  store.gate = promise
  doc.notes.insert({ title: "a" })
  await Promise.resolve()
  const count = store.saved.length
  await eventually(() => store.saved.length > count, "the disk to be asked")
  doc.notes.insert({ title: "b" })
  await new Promise(resolve => setImmediate(resolve))
  const forgotten = workspace.forget(doc.id)
  await new Promise(resolve => setImmediate(resolve))
  release()
  await forgotten
  assert.deepEqual(await store.list(), [])
  assert.deepEqual(await store.metaKeys("document:"), [])
  const again = await workspace.create(schema, { id: doc.id })
  again.notes.insert({ title: "c" })
  await again.saved()
  await workspace.close()
  assert.deepEqual(await stored(context, store, doc.id), ["c"])
})

test("a document that is founded twice at the same time is one", async context => {
  const store = await shelf()
  const workspace = await open(context, store)
  const id = "default/vaults/main"
  await Promise.all([workspace.create(schema, { id }), workspace.create(schema, { id })])
  const begun = store.saved.flatMap(({ replicas = {} }) => replicas[id] ?? []).filter(change => "begin" in change)
  assert.equal(begun.length, 1)
})

test("more is written while the disk is busy than may wait, and nothing is lost", async context => {
  const store = await shelf()
  const workspace = await open(context, store)
  const doc = await workspace.create(schema)
  const { promise, open: release } = gate()
  store.gate = promise
  for (let at = 0; at < 10_500; at++) {
    doc.notes.insert({ stars: 1 }, "a")
    await Promise.resolve()
  }
  assert.equal(doc.notes.get("a").stars.value, 10_500)
  release()
  await doc.saved()
  assert.equal(doc.notes.get("a").stars.value, 10_500)
  await workspace.close()
  const again = await (await open(context, store)).get(doc.id, schema)
  assert.equal(again.notes.get("a").stars.value, 10_500)
})

test("a workspace that cannot be opened says why", async () => {
  for (const kind of ["full", "unavailable"]) {
    const store = { ...(await shelf()), claim: () => Promise.reject(new ClientError(kind, "not now")) }
    await assert.rejects(Workspace.open({ name: "test", store }), { kind })
  }
})

test("a program that closes its workspace ends", () => {
  const program = `
    import { Workspace, defineSchema, t } from ${JSON.stringify(fileURLToPath(new URL("../dist/index.js", import.meta.url)))}
    const workspace = await Workspace.open({ name: "test" })
    const doc = await workspace.create(defineSchema({ notes: { title: t.string() } }))
    doc.notes.insert({ title: "a" })
    await doc.saved()
    const synced = doc.synced().catch(error => console.log(error.kind))
    doc.presence.set({ name: "bot" })
    await new Promise(resolve => setTimeout(resolve, 10))
    await workspace.close()
    doc.presence.set({ name: "gone" })
    await synced
  `
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 120_000,
  })
  assert.deepEqual([status, stdout.trim()], [0, "closed"], stderr)
})
