import assert from "node:assert/strict"
import { before, test } from "node:test"
import { CrdtError, Doc, Float, Schema, UndoStack, Unknown, init } from "../dist/index.js"

before(() => init())

/** Two documents, and a call that has them exchange what they wrote. */
function pair() {
  const [a, b] = [new Doc({ now: () => 1_000 }), new Doc({ now: () => 2_000 })]
  const exchange = () => {
    const [fromA, fromB] = [a.takeBatches(), b.takeBatches()]
    for (const batch of fromA) b.apply(batch)
    for (const batch of fromB) a.apply(batch)
    assert.deepEqual(a.snapshot(), b.snapshot())
  }
  return { a, b, exchange }
}

test("values come back as they were", () => {
  const values = [
    ...[null, true, false, "", "text", "\0i5", "né 🙂 \ud83d\ude42", 0, -0, 5, -5, 0.1, 1e300, NaN, Infinity, -Infinity],
    ...[Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)],
    ...[2 ** 53, 2 ** 63, new Uint8Array(), new Uint8Array([0, 255])],
  ]
  const doc = new Doc()
  values.forEach((value, at) => doc.set("n", `field ${at}`, value))
  const [read, entity] = [Doc.load(doc.snapshot()), doc.entity("n")]
  values.forEach((value, at) => {
    const found = read.get("n", `field ${at}`)
    assert.ok(value instanceof Uint8Array ? Buffer.compare(found, value) === 0 : Object.is(found, value), String(value))
    assert.deepEqual(entity[`field ${at}`], value)
  })
  assert.equal(JSON.parse(JSON.stringify(doc)).n["field 20"], "9223372036854775807")
})

test("a plain number is whole where it is, and a Float never", () => {
  const doc = new Doc()
  const types = value => {
    doc.set("n", "f", value)
    return doc.takeBatches()[0].slice(-9)
  }
  assert.deepEqual([...types(5).slice(-2)], [2, 10])
  assert.deepEqual([...types(5n).slice(-2)], [2, 10])
  assert.deepEqual([...types(new Float(5))], [3, 0x40, 0x14, 0, 0, 0, 0, 0, 0])
  assert.deepEqual([...types(-0)], [3, 0x80, 0, 0, 0, 0, 0, 0, 0])
})

test("what a document does not hold is refused, and nothing of it is written", () => {
  const doc = new Doc()
  const refused = write => assert.throws(write, { name: "CrdtError", kind: "invalid" })
  for (const value of [undefined, {}, [], new Date(), Symbol(), () => 1, 2n ** 63n, "x".repeat(70_000)]) {
    refused(() => doc.set("n", "f", value))
  }
  refused(() => doc.set("", "f", 1))
  refused(() => doc.set("x".repeat(257), "f", 1))
  refused(() => doc.set("n", "", 1))
  refused(() => doc.increment("n", "votes", 0.5))
  refused(() => doc.unset("n", "f", "no-kind"))
  refused(() => new Doc({ replica: new Uint8Array(3) }))
  refused(() => new Doc({ replica: "xyz" }))
  assert.deepEqual(doc.takeBatches(), [])
  assert.equal(doc.size(), 0)
})

test("all kinds", () => {
  const doc = new Doc()
  doc.set("note/1", { title: "Milk", done: false })
  doc.assign("note/1", "names", "x")
  for (const value of [5, 7, 6]) doc.raise("note/1", "high", value)
  for (const value of [5, 3, 4]) doc.lower("note/1", "low", value)
  for (const element of ["b", "a", "b"]) doc.include("note/1", "seen", element)
  for (const element of ["red", "blue"]) doc.add("note/1", "tags", element)
  doc.remove("note/1", "tags", "red")
  doc.increment("note/1", "votes", 3)
  doc.increment("note/1", "votes", -1n)
  doc.increment("note/1", "big", 2n ** 62n)
  assert.deepEqual(doc.entity("note/1"), {
    ...{ title: "Milk", done: false, names: ["x"], high: 7, low: 3 },
    ...{ seen: ["a", "b"], tags: ["blue"], votes: 2, big: 2n ** 62n },
  })
  assert.deepEqual([doc.max("note/1", "high"), doc.min("note/1", "low"), doc.count("note/1", "votes")], [7, 3, 2])
  assert.deepEqual(doc.values("note/1", "seen", "grow-set"), ["a", "b"])
  assert.ok(doc.contains("note/1", "tags", "blue") && !doc.contains("note/1", "tags", "red"))
  assert.ok(doc.fields("note/1").some(({ name, kind }) => name === "tags" && kind === "or-set"))
  doc.unset("note/1", "title")
  assert.equal(doc.get("note/1", "title"), undefined)
})

test("extremes compare numbers as numbers", () => {
  const doc = new Doc()
  for (const value of [5, 5.5, 6, 2, 10, 9.5]) doc.raise("n", "high", value)
  for (const value of [5, 4.5, 4, 7, 4.25]) doc.lower("n", "low", value)
  assert.deepEqual([doc.max("n", "high"), doc.min("n", "low")], [10, 4])
})

test("those who write at the same time are both there", () => {
  const { a, b, exchange } = pair()
  a.set("n", "title", "from a")
  b.set("n", "title", "from b")
  a.assign("n", "names", "a")
  b.assign("n", "names", "b")
  a.increment("n", "votes", 1)
  b.increment("n", "votes", 2)
  exchange()
  assert.equal(a.get("n", "title"), "from b")
  assert.deepEqual(a.conflicts("n", "title").map(({ value, ms }) => [value, ms]), [["from a", 1_000]])
  assert.equal(a.blame("n", "title").replica, Buffer.from(b.writer().replica).toString("hex"))
  assert.deepEqual(a.values("n", "names", "multi"), ["a", "b"])
  assert.equal(a.count("n", "votes"), 3)
})

test("deletion, revival, and what wins over it", () => {
  const { a, b, exchange } = pair()
  a.set("n", { title: "Milk", done: false })
  a.set("gone", "title", "x")
  exchange()
  a.delete("n")
  b.set("n", "done", true)
  a.bury("gone")
  b.set("gone", "title", "y")
  exchange()
  assert.deepEqual(a.entity("n"), { title: "Milk", done: true })
  assert.equal(a.entity("gone"), undefined)
  assert.ok(!a.has("gone") && a.deleted("gone").ms >= 1_000 && a.deleted("never") === undefined)
  a.erase("n")
  exchange()
  assert.deepEqual(b.ids(), [])
})

test("a change is undone as a whole, and done again", () => {
  const doc = new Doc()
  const stack = new UndoStack(doc, 2)
  doc.set("n", "title", "first")
  stack.change(() => doc.set("n", { title: "second", done: true }))
  stack.change(() => doc.set("n", { title: "third", done: false }))
  stack.change(() => doc.increment("n", "votes", 2))
  stack.change(() => {})
  assert.ok(stack.undo() && doc.count("n", "votes") === 0)
  assert.ok(stack.undo() && doc.get("n", "title") === "second" && doc.get("n", "done") === true)
  assert.ok(!stack.undo(), "the bound")
  assert.ok(stack.redo() && doc.get("n", "title") === "third")
  assert.ok(stack.redo() && doc.count("n", "votes") === 2 && !stack.canRedo)
  stack.change(() => doc.delete("n"))
  assert.ok(stack.undo() && doc.get("n", "title") === "third")
  assert.ok(stack.redo() && !doc.has("n"))
})

test("a change that throws leaves nothing", () => {
  const doc = new Doc()
  doc.set("n", "title", "a")
  const change = () => {
    doc.set("n", "title", "b")
    throw new RangeError("no")
  }
  assert.throws(() => doc.change(change), RangeError)
  assert.equal(doc.get("n", "title"), "a")
  doc.set("n", "title", "c")
  assert.equal(doc.get("n", "title"), "c")
})

test("what belongs to a change, and what does not", () => {
  const { a, b } = pair()
  b.set("n", "title", "b")
  const [batch] = b.takeBatches()
  const state = { name: "CrdtError", kind: "state" }
  a.change(() => {
    assert.throws(() => a.change(() => {}), state)
    assert.throws(() => a.apply(batch), state)
    assert.throws(() => a.merge(b), state)
  })
  a.apply(batch)
  assert.equal(a.get("n", "title"), "b")
})

test("listeners hear what changed, once for a change", () => {
  const { a, b, exchange } = pair()
  const heard = []
  const end = a.subscribe(({ local, entities }) => heard.push([local, entities && [...entities]]))
  a.change(() => {
    a.set("n", "title", "a")
    a.set("m", "title", "a")
  })
  b.set("o", "title", "b")
  exchange()
  a.merge(b)
  a.change(() => {})
  end()
  a.set("p", "title", "x")
  assert.deepEqual(heard, [
    [true, ["n", "m"]],
    [false, ["o"]],
    [false, undefined],
  ])
})

test("a schema says what is written, and as what", () => {
  const schema = new Schema({
    note: {
      fields: {
        title: { kind: "lww", types: ["text"] },
        weight: { kind: "max", types: ["float"] },
        tags: { kind: "or-set", types: ["text"] },
        votes: { kind: "counter" },
      },
    },
    log: { fields: {}, onDelete: "deletion-wins" },
  })
  const doc = new Doc({ schema })
  doc.set("note/1", { title: "Milk", weight: 5, tags: ["a", "b"], votes: 3 })
  assert.deepEqual(doc.entity("note/1"), { title: "Milk", weight: 5, tags: ["a", "b"], votes: 3 })
  const batch = doc.takeBatch()
  assert.deepEqual(batch.ops().map(op => op.kind), ["lww", "max", "or-set", "or-set", "counter"])
  schema.check(batch)
  const refused = write => assert.throws(write, { kind: "schema" })
  refused(() => doc.set("note/1", "title", 5))
  refused(() => doc.set("note/1", "no", 5))
  refused(() => doc.set("no/1", "title", "x"))
  refused(() => doc.add("note/1", "title", "x"))
  refused(() => doc.bury("note/1"))
  refused(() => doc.delete("log/1"))
  assert.equal(doc.takeBatch(), undefined)
  const older = new Schema({ note: { fields: { title: { kind: "multi", types: ["text"] } } } })
  assert.equal(schema.breaks(older).length, 1)
  const free = new Doc()
  free.set("note/1", "other", 1)
  assert.throws(() => schema.check(free.takeBatch()), CrdtError)
})

test("types and kinds of later versions pass through", () => {
  const doc = new Doc()
  doc.set("n", "f", new Unknown(new Uint8Array([77, 1, 2])))
  const read = Doc.load(doc.snapshot())
  assert.deepEqual(read.get("n", "f"), new Unknown(new Uint8Array([77, 1, 2])))
  assert.deepEqual(read.entity("n").f, read.get("n", "f"))
  read.set("n", "g", read.get("n", "f"))
  assert.deepEqual(read.get("n", "g"), read.get("n", "f"))
})

test("more names of fields than are remembered", () => {
  const doc = new Doc()
  for (let at = 0; at < 3_000; at++) doc.set("n", `field ${at}`, at)
  for (let at = 0; at < 3_000; at++) assert.equal(doc.get("n", `field ${at}`), at)
})

test("much is read at once", () => {
  const doc = new Doc()
  for (let at = 0; at < 100; at++) doc.set(`note/${at}`, { title: `Note ${at}`, at })
  doc.set("other", "x", 1)
  assert.equal(doc.size(), 101)
  assert.equal(Object.keys(doc.toObject("note/")).length, 100)
  assert.deepEqual(doc.toObject()["note/7"], { title: "Note 7", at: 7 })
})

test("compaction and sweeping", () => {
  const { a, b, exchange } = pair()
  a.set("n", "title", "x".repeat(1_000))
  exchange()
  a.delete("n")
  exchange()
  assert.ok(a.snapshot().length > 1_000)
  const horizon = a.latest
  a.compact(horizon)
  b.compact(horizon)
  a.sweep()
  exchange()
  assert.equal(a.horizon, horizon)
  assert.ok(b.snapshot().length < 200)
})
