import assert from "node:assert/strict"
import { test } from "node:test"
import { ClientError, Workspace, defineSchema, t } from "../dist/index.js"

const schema = defineSchema({
  notes: {
    title: t.string(),
    folder: t.ref("folders"),
    tags: t.set(t.string()),
    stars: t.counter(),
    rank: t.float(),
    high: t.max(t.int()),
    names: t.multi(t.string()),
    trashed: t.optional(t.int()),
    body: t.text(),
  },
  folders: { name: t.string("new") },
})

/** A workspace in memory, with a document. */
async function open(context) {
  const workspace = await Workspace.open({ name: "test" })
  context.after(() => workspace.close())
  return { workspace, doc: await workspace.create(schema, { title: "Vault" }) }
}

test("what is written is read at once, and from the engine later", async context => {
  const { workspace, doc } = await open(context)
  const id = doc.notes.insert({ title: "Milk", tags: ["red", "blue"], stars: 2, rank: 1, names: "ann" })
  const note = doc.notes.get(id)
  const read = () => [
    note.title,
    [...note.tags],
    note.stars.value,
    note.rank,
    note.high,
    [...note.names],
    note.trashed,
    note.folder,
  ]
  assert.deepEqual(read(), ["Milk", ["blue", "red"], 2, 1, 0, ["ann"], undefined, ""])
  note.title = "Oat milk"
  note.tags.delete("red")
  note.tags.add("green")
  note.stars.add(-5)
  note.high = 7
  note.high = 3
  note.trashed = 9
  note.names.set("ben")
  const after = ["Oat milk", ["blue", "green"], -3, 1, 7, ["ben"], 9, ""]
  assert.deepEqual(read(), after)
  await doc.saved()
  assert.deepEqual(read(), after, "what the engine made of it is the same")
  note.trashed = undefined
  await doc.saved()
  assert.equal(note.trashed, undefined)
  assert.equal(doc.notes.get(id), note, "there is one object for each")
  assert.deepEqual([doc.notes.size, doc.notes.has(id), doc.notes.get(id.slice(6)), doc.title], [1, true, note, "Vault"])
  doc.notes.delete(id)
  await doc.saved()
  assert.deepEqual([note.exists, note.title, doc.notes.get(id), doc.notes.size], [false, "", undefined, 0])
  const [known] = await workspace.documents()
  assert.deepEqual([known.id, known.title, known.isEncrypted], [doc.id, "Vault", false])
})

test("what does not fit is refused before it is written", async context => {
  const { doc } = await open(context)
  const refused = write => assert.throws(write, error => error instanceof ClientError && error.kind === "invalid")
  refused(() => doc.notes.insert({ title: 1 }))
  refused(() => doc.notes.insert({ heading: "x" }))
  refused(() => doc.notes.insert({ high: 0.5 }))
  refused(() => doc.notes.insert({ title: "x" }, "x".repeat(300)))
  refused(() => doc.notes.insert({ tags: [1] }))
  refused(() => doc.transaction(async () => undefined))
  refused(() => defineSchema({ undo: {} }))
  refused(() => defineSchema({ notes: { id: t.string() } }))
  assert.equal(doc.notes.size, 0)
})

test("a transaction is one change; one that throws leaves nothing", async context => {
  const { doc } = await open(context)
  const told = []
  doc.subscribe(({ entities, origin }) => told.push([origin, entities.size]))
  doc.transaction(() => {
    doc.notes.insert({ title: "a" }, "a")
    doc.notes.insert({ title: "b" }, "b")
    assert.equal(doc.notes.get("a").title, "a")
  })
  await doc.saved()
  assert.deepEqual(told, [["local", 2]])
  const broken = () =>
    doc.transaction(() => {
      doc.notes.get("a").title = "other"
      doc.notes.insert({ title: "c" }, "c")
      doc.notes.delete("b")
      throw new Error("no")
    })
  assert.throws(broken, /no/)
  assert.deepEqual(
    doc.notes.all().map(note => note.title),
    ["a", "b"],
  )
  await doc.saved()
  assert.deepEqual(told, [["local", 2]])
})

test("changes are taken back and done again", async context => {
  const { doc } = await open(context)
  const state = () => doc.notes.all().map(({ id, title, tags, stars }) => [id, title, [...tags], stars.value])
  assert.deepEqual([doc.canUndo, doc.undo(), doc.redo()], [false, false, false])
  doc.notes.insert({ title: "a", tags: ["x"], stars: 1 }, "a")
  const first = state()
  doc.transaction(() => {
    const note = doc.notes.get("a")
    note.title = "b"
    note.tags.add("y")
    note.tags.delete("x")
    note.stars.add(2)
  })
  const second = state()
  await doc.saved()
  assert.equal(doc.undo(), true)
  assert.deepEqual(state(), first)
  await doc.saved()
  assert.deepEqual(state(), first)
  assert.equal(doc.redo(), true)
  assert.deepEqual(state(), second)
  doc.notes.delete("a")
  await doc.saved()
  assert.deepEqual(state(), [])
  doc.undo()
  assert.deepEqual(state(), second)
  await doc.saved()
  assert.deepEqual(state(), second)
  doc.undo()
  doc.undo()
  assert.deepEqual([state(), doc.canUndo, doc.canRedo], [[], false, true])
  doc.notes.insert({ title: "new" })
  assert.equal(doc.canRedo, false)
})

test("undo leaves alone what somebody else has changed since", async context => {
  const { workspace, doc } = await open(context)
  doc.notes.insert({ title: "a" }, "a")
  doc.notes.get("a").title = "b"
  const again = await workspace.get(doc.id, schema)
  assert.equal(again, doc)
  doc.notes.get("a").title = "c"
  doc.undo()
  doc.notes.get("a").title = "d"
  doc.undo()
  assert.equal(doc.notes.get("a").title, "b")
})

test("a live query is told what changed, and only that", async context => {
  const { doc } = await open(context)
  for (const title of ["b", "a", "10", "9"]) doc.notes.insert({ title }, title)
  const told = []
  const ids = rows => rows.map(({ id }) => id.slice(6)).join("")
  const listen = ({ rows, added, changed, removed }) => told.push([rows, added, changed, removed].map(ids).join("|"))
  const query = doc.notes.where(note => note.trashed === undefined).orderBy(note => note.title)
  const stop = doc.live(query, listen)
  const take = () => told.splice(0).join(" ")
  assert.equal(take(), "910ab|910ab||")
  doc.notes.get("a").title = "c"
  assert.equal(take(), "910ba||a|")
  doc.notes.get("b").trashed = 1
  assert.equal(take(), "910a|||b")
  doc.notes.get("b").title = "z"
  doc.folders.insert({})
  assert.equal(take(), "")
  doc.notes.insert({ title: "5" }, "5")
  assert.equal(take(), "5910a|5||")
  doc.notes.delete("9")
  assert.equal(take(), "510a|||9")
  await doc.saved()
  assert.equal(take(), "", "what the engine made of it is the same")
  stop()
  doc.notes.delete("5")
  assert.equal(take(), "")
  assert.equal(
    ids(
      doc.notes
        .orderBy(note => note.title, "desc")
        .limit(1)
        .rows(),
    ),
    "b",
  )
  assert.equal(query.count(), 2)
})

test("a live query agrees with asking again, whatever happens", async context => {
  const { doc } = await open(context)
  let seed = 7
  const random = max => (seed = (seed * 48271) % 2147483647) % max
  const query = doc.notes
    .where(note => note.stars.value % 3 !== 0)
    .orderBy(note => [note.folder, note.title], "desc")
    .limit(20)
  let shown
  doc.live(query, ({ rows }) => (shown = rows))
  let asked
  doc.live(
    doc => doc.notes.all().filter(note => note.stars.value > 5),
    ({ rows }) => (asked = rows),
  )
  for (let step = 0; step < 300; step++) {
    doc.transaction(() => {
      for (let edits = random(4); edits >= 0; edits--) {
        const id = String(random(40))
        if (random(5) === 0) doc.notes.delete(id)
        else doc.notes.insert({ title: String(random(9)), folder: String(random(3)), stars: random(4) }, id)
      }
    })
    if (step % 50 === 0) await doc.saved()
    assert.deepEqual(shown, query.rows())
    assert.deepEqual(
      asked,
      doc.notes.all().filter(note => note.stars.value > 5),
    )
  }
})

test("a document that is forgotten is gone, and one that is not known is said so", async context => {
  const { workspace, doc } = await open(context)
  doc.notes.insert({ title: "a" })
  await doc.saved()
  assert.equal(doc.isForgotten.value, false)
  await workspace.forget(doc.id)
  assert.equal(doc.isForgotten.value, true)
  assert.throws(() => doc.notes.insert({ title: "b" }), { kind: "closed" })
  assert.deepEqual(await workspace.documents(), [])
  await assert.rejects(workspace.get(doc.id, schema), { kind: "invalid" })
  await assert.rejects(Workspace.open({ name: "no name" }), { kind: "invalid" })
})

test("what an entity was is remembered", async context => {
  const { doc } = await open(context)
  doc.notes.insert({ title: "a" }, "a")
  await doc.saved()
  doc.notes.get("a").title = "b"
  await doc.saved()
  const [former] = await doc.history("notes/a", "title")
  assert.deepEqual([former.value, former.isOwn], ["a", true])
})

test("how it stands can be looked into", async context => {
  const { workspace, doc } = await open(context)
  doc.notes.insert({ title: "a" })
  await doc.saved()
  const inside = await doc.inspect()
  assert.deepEqual([inside.id, inside.entities, inside.position, inside.conflicts], [doc.id, 1, undefined, []])
  assert.ok(inside.pending > 0 && inside.stored.bytes > 0 && inside.versions.length === 1)
  const { connection, role, isVolatile, found, unsaved } = workspace.state.value
  assert.deepEqual([connection, role, isVolatile, found, unsaved], ["none", "leader", true, "new", 0])
})

test("operations that count and those that wait are told with what, when and by whom", async context => {
  const { doc } = await open(context)
  doc.notes.insert({ title: "a", tags: ["x"], stars: 2, high: 5, names: "ann", body: new Uint8Array([1, 2, 3]) }, "a")
  doc.notes.insert({ title: "gone" }, "g")
  await doc.saved()
  doc.notes.get("a").title = "b".repeat(1000)
  doc.notes.delete("g")
  await doc.saved()
  const { log, waiting, replica, pending } = await doc.inspect()
  const shape = ({ does, entity, field, kind, value, bytes }) => [does, entity, field, kind, value, bytes]
  assert.deepEqual(shape(log[0]), ["put", "notes/a", "title", "lww", `${"b".repeat(400)}…`, undefined])
  const rest = log
    .slice(1)
    .map(shape)
    .sort((one, other) => (one[2] < other[2] ? -1 : 1))
  assert.deepEqual(rest, [
    ["put", "notes/a", "body", "text", undefined, 3],
    ["put", "notes/a", "high", "max", 5, undefined],
    ["put", "notes/a", "names", "multi", "ann", undefined],
    ["put", "notes/a", "stars", "counter", 2, undefined],
    ["put", "notes/a", "tags", "or-set", "x", undefined],
  ])
  for (const { at, by } of [...log, ...waiting]) assert.ok(Math.abs(Date.now() - at) < 600_000 && by === replica)
  assert.equal(waiting.length, pending)
  assert.deepEqual(
    waiting.map(({ seq }) => seq),
    waiting.map((_, at) => at + 1),
  )
  assert.deepEqual(shape(waiting.at(-1)), ["delete", "notes/g", undefined, undefined, undefined, undefined])
})
