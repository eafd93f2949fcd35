import assert from "node:assert/strict"
import { test } from "node:test"
import { ClientError, defineSchema, t } from "../dist/index.js"
import { Document } from "../dist/document.js"

const schema = defineSchema({
  notes: {
    title: t.string(),
    tags: t.set(t.string()),
    stars: t.counter(),
    kept: t.multi(t.string()),
    rank: t.float(),
    body: t.text(),
    names: t.text(),
  },
})

/** All of a document as the engine says it: entities, and texts by their fields, replicas, numbers and bytes. */
const whole = (entities, fields = [], replicas = [], numbers = [], bytes = []) => [
  ` ${JSON.stringify(Object.entries(entities).flat())}`,
  fields,
  replicas,
  new Uint32Array(numbers),
  new Uint8Array(bytes),
]

/** A document whose workspace is the test: `news` is what the tab that leads says. */
function begun(entities = {}) {
  const asked = []
  const host = {
    posts: 0,
    post: () => ({ number: ++host.posts, stored: Promise.resolve() }),
    ask: async question => void asked.push(question),
    reopen: id => asked.push({ type: "reopen", id }),
  }
  const document = new Document(host, "default/a", schema)
  const open = (term, entities, version = 1) =>
    document.begin({ term, version, whole: whole(entities), taken: 0, info: {}, peers: [] })
  open("first", entities)
  let version = 1
  const news = (id, fields, texts = [], more = {}) =>
    document.hear(
      {
        type: "news",
        id: "default/a",
        term: "first",
        version: ++version,
        news: [[id, fields && ` ${JSON.stringify(fields)}`, texts]],
        tab: undefined,
        taken: 0,
        origin: "remote",
        ...more,
      },
      more.taken,
    )
  const skip = () => version++
  return { doc: document.typed, document, open, news, skip, asked, host }
}

test("a document that missed something is opened again", () => {
  const { doc, news, skip, asked } = begun()
  news("notes/a", { title: "one" })
  skip()
  news("notes/a", { title: "three" })
  assert.deepEqual(asked, [{ type: "reopen", id: "default/a" }])
  assert.equal(doc.notes.get("a").title, "one")
})

test("who takes back that an entity was made does not take away what others wrote in it", () => {
  const { doc, news } = begun()
  doc.notes.insert({ title: "mine", tags: ["x"] }, "a")
  doc.notes.insert({ title: "also mine" }, "b")
  news("notes/a", { title: "mine", tags: ["x"] }, ["body", ["other:1"], [new Uint8Array([1])]])
  doc.undo()
  doc.undo()
  assert.deepEqual([doc.notes.has("a"), doc.notes.has("b"), doc.canUndo], [true, false, false])
  assert.deepEqual(doc.notes.get("a").body.names(), ["other:1"])
})

test("who takes back a deletion does not write over an entity that came back", async () => {
  const { doc, news } = begun({ "notes/a": { title: "old", stars: 3 } })
  doc.notes.delete("a")
  await Promise.resolve()
  news("notes/a", undefined, [], { taken: 1 })
  news("notes/a", { title: "new", stars: 3 })
  doc.undo()
  assert.deepEqual([doc.notes.get("a").title, doc.notes.get("a").stars.value], ["new", 3])
})

test("the first value of a field that keeps several is taken back", () => {
  const { doc } = begun({ "notes/a": {} })
  doc.notes.get("a").kept.set("x")
  doc.undo()
  assert.deepEqual([...doc.notes.get("a").kept], [])
})

test("what others write is what it is, whatever they call it and of whatever type", () => {
  const { document, doc, news } = begun()
  news("notes/a", JSON.parse('{"__proto__":{"title":"no"},"tags":["x",5,null],"stars":"many","kept":[7]}'), [
    "__proto__",
    [["x:1"]],
    [[new Uint8Array()]],
  ])
  const note = doc.notes.get("a")
  assert.deepEqual([note.title, [...note.tags], note.stars.value, [...note.kept]], ["", ["x"], 0, []])
  assert.deepEqual([note.names.names(), note.body.names()], [[], []])
  note.names.push(new Uint8Array([1]))
  assert.equal(note.names.names().length, 1)
  note.stars.add(2)
  assert.equal(note.stars.value, 2)
  assert.equal({}.title, undefined)
  const hostile = whole({ "notes/b": {} }, ["__proto__"], ["x"], [0, 0, 1, 0, 0, 1, 0])
  document.begin({ term: "first", version: 9, whole: hostile, taken: 0, info: {}, peers: [] })
  assert.deepEqual(doc.notes.get("b").names.names(), [])
  doc.notes.get("b").names.push(new Uint8Array([1]))
  assert.equal(doc.notes.get("b").names.names().length, 1)
  news("__proto__", { title: "x" })
  assert.equal({}.title, undefined)
})

test("what is opened as a whole is what it would be piece by piece", () => {
  const { document, doc } = begun()
  const entities = { "notes/a": { title: "one" }, "notes/b": {}, "notes/c": { title: "three" } }
  // Both texts of the first, and one of the last; a sequence goes beyond 32 bits.
  const ofFirst = [0, 0, 2, 0, 0, 7, 2, 1, 0, 8, 0, 0, 1, 1, 1, 4, 5, 1]
  const told = whole(entities, ["body", "names", "body"], ["x", "y"], [...ofFirst, 2, 2, 1, 0, 0, 9, 3], [1, 2, 3, 4, 5, 6])
  document.begin({ term: "other", version: 1, whole: told, taken: 0, info: {}, peers: [] })
  const [a, b, c] = doc.notes.all()
  assert.deepEqual([a.title, b.title, c.title], ["one", "", "three"])
  assert.deepEqual([a.body.names(), a.names.names(), c.body.names()], [["x:7", "y:8"], ["y:17179869189"], ["x:9"]])
  const bytes = field => field.updates().map(update => [...update])
  assert.deepEqual([bytes(a.body), bytes(a.names), bytes(b.body), bytes(c.body)], [[[1, 2], []], [[3]], [], [[4, 5, 6]]])
  // A part of all would be stored, and told to other tabs, as all.
  assert.equal(c.body.updates()[0].buffer.byteLength, 3)
  assert.equal(c.body.updates(), c.body.updates())
})

test("a tab of another version is no document", () => {
  const { document, doc } = begun({ "notes/a": { title: "one" } })
  const other = { term: "other", version: 1, json: " {}", texts: [], taken: 0, info: {}, peers: [] }
  assert.throws(() => document.begin(other), new ClientError("outdated", "another tab has another version of the application"))
  assert.equal(doc.notes.get("a").title, "one")
})

test("a counter counts beyond what a number holds", () => {
  const { document, doc } = begun()
  const big = { stars: `\0i${2n ** 60n}` }
  document.hear({
    type: "news",
    id: "",
    term: "first",
    version: 2,
    news: [["notes/a", `\n${JSON.stringify(big)}`, []]],
    taken: 0,
    origin: "remote",
  })
  const { stars } = doc.notes.get("a")
  stars.add(1)
  assert.equal(document.entity("notes/a").fields.stars, 2n ** 60n + 1n)
  assert.equal(stars.value, 2 ** 60)
})

test("names that every object has, or that documents and rows have, are refused", () => {
  const refused = collections => assert.throws(() => defineSchema(collections), { kind: "invalid" })
  for (const name of ["constructor", "toString", "valueOf", "hasOwnProperty"]) {
    refused({ [name]: {} })
    refused({ notes: { [name]: t.string() } })
  }
  refused({ notes: { exists: t.bool() } })
  for (const name of Object.getOwnPropertyNames(Document.prototype)) refused({ [name]: {} })
  const { doc } = begun()
  for (const input of [{ constructor: "x" }, JSON.parse('{"__proto__":"x"}')]) {
    assert.throws(
      () => doc.notes.insert(input),
      error => error instanceof ClientError && error.kind === "invalid",
    )
  }
})

test("a live query keeps its order, though keys are no numbers or of many types", () => {
  const { doc } = begun()
  const keys = [NaN, 3, NaN, -1, Infinity, 0]
  for (let at = 0; at < 24; at++) doc.notes.insert({ rank: keys[at % 6] }, String(at))
  const query = doc.notes.orderBy(note => note.rank)
  const mixed = doc.notes.orderBy(note => (note.stars.value > 0 ? note.id : note.rank))
  let [shown, both] = []
  doc.live(query, ({ rows }) => (shown = rows))
  doc.live(mixed, ({ rows }) => (both = rows))
  for (let step = 0; step < 60; step++) {
    doc.notes.get(String(step % 24)).rank = step % 7 === 0 ? NaN : (step * 31) % 11
    doc.notes.get(String((step * 5) % 24)).stars.add(step % 2 === 0 ? 1 : -1)
    const ids = rows => rows.map(({ id }) => id).join()
    assert.equal(ids(shown), ids(query.rows()))
    assert.equal(ids(both), ids(mixed.rows()))
  }
})

test("who listens no more is told no more, and who writes while it listens is told of that", () => {
  const { doc } = begun()
  const told = []
  const stops = [doc.subscribe(() => stops[1]()), doc.subscribe(() => told.push("no"))]
  doc.live(
    doc.notes.where(() => true),
    ({ rows }) => {
      told.push(rows.length)
      if (rows.length === 0) doc.notes.insert({ title: "first" })
    },
  )
  assert.deepEqual(told, [0, 1])
})

test("what a tab shows is told to who leads next, and what cannot be shown is refused at once", async () => {
  const { doc, open, asked } = begun()
  doc.presence.set({ at: 1 })
  doc.presence.set({ at: 2 })
  doc.presence.set({ at: 3 })
  await new Promise(resolve => setImmediate(resolve))
  const states = () => asked.splice(0).map(({ state }) => state)
  assert.deepEqual(states(), ['{"at":1}', '{"at":3}'])
  open("second", {})
  assert.deepEqual(states(), ['{"at":3}'])
  for (const state of [1n, { text: "x".repeat(4000) }]) assert.throws(() => doc.presence.set(state), { kind: "invalid" })
})
