import assert from "node:assert/strict"
import { before, test } from "node:test"
import { Batch, Doc, Heads, History, header, hashOf, init } from "../dist/index.js"
import { golden, story } from "./golden.js"

before(() => init())

test("the same calls make the same bytes as everywhere", () => {
  const { a, b, fromA, fromB } = story()
  assert.deepEqual(Buffer.from(fromA[0]), golden("batch.hex"))
  assert.deepEqual(Buffer.from(fromB.encode(hashOf(fromA[0]))), golden("batch-covers.hex"))
  assert.deepEqual(Buffer.from(a.snapshot()), golden("snapshot.hex"))
  assert.deepEqual(a.snapshot(), b.snapshot())
})

test("the golden bytes are read, in any order", () => {
  const doc = new Doc()
  doc.apply(golden("batch-covers.hex"))
  doc.apply(golden("batch.hex"))
  doc.apply(golden("batch.hex"))
  assert.deepEqual(Buffer.from(doc.snapshot()), golden("snapshot.hex"))
  const again = Doc.load(golden("snapshot.hex"))
  assert.deepEqual(again.entity("note/1"), {
    done: false,
    high: 5,
    low: -0.5,
    names: ["x"],
    seen: ["ann"],
    tags: ["blue"],
    title: "Oat milk",
    votes: 2,
  })
  assert.deepEqual(again.textUpdates("note/1", "body"), [new Uint8Array([0, 0])])
  assert.deepEqual(again.ids(), ["note/1"])
})

test("damaged bytes are refused or mean something else, and nothing breaks", () => {
  for (const name of ["batch.hex", "batch-covers.hex", "snapshot.hex"]) {
    const whole = golden(name)
    for (let at = 0; at < whole.length; at++) {
      refused(whole.subarray(0, at))
      for (const flip of [1, 0x80, 0xff]) {
        const damaged = Buffer.from(whole)
        damaged[at] ^= flip
        readOrRefused(() => assert.deepEqual(Buffer.from(Doc.load(damaged).snapshot()), damaged))
        readOrRefused(() => assert.deepEqual(Buffer.from(Batch.decode(damaged).encode(header(damaged).prev)), damaged))
      }
    }
  }
  assert.deepEqual(Doc.load(golden("snapshot.hex")).ids("note/"), ["note/1"])
})

function refused(bytes) {
  assert.throws(() => Doc.load(bytes), { name: "CrdtError", kind: "malformed" })
  assert.throws(() => Batch.decode(bytes), { name: "CrdtError", kind: "malformed" })
}

function readOrRefused(read) {
  try {
    read()
  } catch (error) {
    assert.equal(error.kind, "malformed", error)
  }
}

test("heads notice gaps, repetitions and clones", () => {
  const doc = new Doc()
  const pushed = ["a", "b", "c"].flatMap(value => {
    doc.set("n", "title", value)
    return doc.takeBatches()
  })
  const heads = new Heads()
  const admissions = [0, 2, 0, 1, 0, 2].map(at => heads.admit(pushed[at]))
  assert.deepEqual(admissions, ["next", "gap", "duplicate", "next", "past", "next"])
  const clone = new Doc({ writer: { ...new Doc({ replica: doc.writer().replica }).writer() } })
  clone.set("n", "title", "somebody else")
  assert.equal(new Heads(heads.entries()).admit(clone.takeBatches()[0]), "past")
  const { replica, first, count, prev } = header(pushed[1])
  assert.equal(replica, Buffer.from(doc.writer().replica).toString("hex"))
  assert.deepEqual([first, count, prev], [2, 1, hashOf(pushed[0])])
})

test("a writer goes on where it was", () => {
  const doc = new Doc({ now: () => 5_000 })
  doc.set("n", "title", "a")
  const [first] = doc.takeBatches()
  const again = Doc.load(doc.snapshot(), { writer: doc.writer(), now: () => 1 })
  again.set("n", "title", "b")
  const [second] = again.takeBatches()
  assert.deepEqual(header(second).prev, hashOf(first))
  assert.equal(header(second).first, 2)
  assert.ok(header(second).stampFirst > header(first).stampLast)
})

test("history keeps what was replaced", () => {
  const [doc, history] = [new Doc(), new History()]
  doc.set("n", "title", "a")
  doc.set("n", "title", "b")
  doc.delete("n")
  for (const batch of doc.takeBatches()) history.record(batch)
  assert.deepEqual(history.ofField("n", "title").map(op => op.value), ["a", "b"])
  assert.deepEqual(history.ofEntity("n").map(op => op.does), ["put", "put", "delete"])
  assert.equal(history.ofEntity("n")[0].kind, "lww")
  history.trim(doc.latest)
  assert.equal(history.length, 0)
})

test("operations are issued again under another id", () => {
  const doc = new Doc()
  doc.set("n", "title", "a")
  const again = doc.takeBatch().reissued({ replica: new Uint8Array(16).fill(7), first: 3, since: 1 })
  assert.deepEqual([again.replica, again.first], ["07".repeat(16), 3])
  assert.equal(again.ops()[0].value, "a")
})
