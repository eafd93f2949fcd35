import assert from "node:assert/strict"
import { before, test } from "node:test"
import * as Y from "yjs"
import { Doc, init } from "../dist/index.js"
import { TextBinding, readText, readUpdates, textOf } from "../dist/text.js"

before(() => init())

const AT = ["note/1", "body"]

/** A document with an editor of its text. */
function editor(options = {}) {
  const doc = new Doc()
  return { doc, binding: new TextBinding(doc, ...AT, options) }
}

/** Has editors exchange what they typed; then all documents and all texts are the same. */
function exchange(...editors) {
  const sent = editors.map(({ doc, binding }) => {
    binding.flush()
    return doc.takeBatches()
  })
  editors.forEach(({ doc }, to) => {
    sent.forEach((batches, from) => from !== to && batches.forEach(batch => doc.apply(batch)))
  })
  for (const { doc, binding } of editors) {
    assert.deepEqual(doc.snapshot(), editors[0].doc.snapshot())
    assert.equal(binding.text.toString(), readText(doc, ...AT))
    assert.equal(binding.text.toString(), editors[0].binding.text.toString())
  }
}

test("what is typed goes into the field and to the others", () => {
  const [a, b] = [editor(), editor()]
  a.binding.text.insert(0, "Milk 🙂")
  exchange(a, b)
  a.binding.text.insert(0, "Oat ")
  b.binding.text.insert(7, ", bread")
  exchange(a, b)
  assert.equal(b.binding.text.toString(), "Oat Milk 🙂, bread")
})

test("much typing is one operation", () => {
  const { doc, binding } = editor()
  for (const letter of "a sentence") binding.text.insert(binding.text.length, letter)
  assert.equal(doc.textUpdates(...AT).length, 0)
  binding.flush()
  assert.equal(doc.textUpdates(...AT).length, 1)
  binding.flush()
  assert.equal(doc.textUpdates(...AT).length, 1)
})

test("typing is written after a while by itself", async () => {
  const { doc, binding } = editor({ gatherMs: 1 })
  binding.text.insert(0, "x")
  const written = new Promise(resolve => doc.subscribe(resolve))
  await written
  assert.equal(readText(doc, ...AT), "x")
})

test("opening a text writes nothing", () => {
  const { doc, binding } = editor()
  binding.text.insert(0, "milk")
  binding.text.delete(0, 2)
  binding.destroy()
  doc.takeBatches()
  new TextBinding(doc, ...AT).destroy()
  assert.deepEqual(doc.takeBatches(), [])
})

test("an editor that was there already brings its text", () => {
  const ydoc = new Y.Doc()
  ydoc.getText("text").insert(0, "from before")
  const { doc, binding } = editor({ ydoc })
  assert.equal(readText(doc, ...AT), "from before")
  binding.destroy()
  binding.text.insert(0, "not ")
  assert.equal(readText(doc, ...AT), "from before")
})

test("many updates become one", () => {
  const [a, b] = [editor({ squashAt: 5 }), editor()]
  for (let at = 0; at < 12; at++) {
    a.binding.text.insert(0, `${at} `)
    exchange(a, b)
  }
  assert.ok(a.doc.textUpdates(...AT).length < 5)
  b.binding.text.insert(0, "still ")
  assert.ok(b.binding.squash())
  exchange(a, b)
  assert.equal(a.doc.textUpdates(...AT).length, 1)
})

test("those who squash and those who type at the same time", () => {
  const [a, b, c] = [editor(), editor(), editor()]
  a.binding.text.insert(0, "one two three")
  exchange(a, b, c)
  a.binding.text.insert(0, "zero ")
  exchange(a, b, c)
  b.binding.text.delete(0, 5)
  assert.ok(a.binding.squash() && b.binding.squash())
  c.binding.text.insert(13, "!")
  exchange(a, b, c)
  exchange(a, b, c)
  assert.ok(c.binding.text.toString().includes("!"))
})

test("what is erased begins afresh, and editors hear of it", () => {
  const replaced = []
  const [a, b] = [editor({ onReplaced: binding => replaced.push(binding) }), editor()]
  a.binding.text.insert(0, "milk")
  exchange(a, b)
  const before = a.binding.ydoc
  b.doc.erase(AT[0])
  exchange(a, b)
  assert.deepEqual(replaced, [a.binding])
  assert.notEqual(a.binding.ydoc, before)
  a.binding.text.insert(0, "tea")
  exchange(a, b)
  assert.equal(b.binding.text.toString(), "tea")
})

test("a deleted text comes back with who edits at the same time", () => {
  const [a, b] = [editor(), editor()]
  a.binding.text.insert(0, "milk")
  exchange(a, b)
  a.doc.delete(AT[0])
  b.binding.text.insert(4, " and bread")
  exchange(a, b)
  assert.equal(a.binding.text.toString(), "milk and bread")
})

test("updates that Yjs does not read take nothing else", () => {
  const unreadable = []
  const { doc, binding } = editor({ onUnreadable: name => unreadable.push(name) })
  binding.text.insert(0, "milk")
  binding.flush()
  doc.pushText(...AT, new Uint8Array([1, 1, 5, 0, 4, 1, 4, 116]))
  binding.text.insert(0, "oat ")
  binding.flush()
  assert.equal(unreadable.length, 1)
  assert.equal(readText(doc, ...AT), "oat milk")
  assert.equal(binding.text.toString(), "oat milk")
  assert.equal(binding.squash(), false)
})

test("a text that was written in one go reads as Yjs reads it, and so does what only looks like it", () => {
  const written = write => {
    const ydoc = new Y.Doc()
    write(ydoc)
    return ydoc
  }
  const all = write => Y.encodeStateAsUpdate(written(write))
  const milk = ydoc => ydoc.getText("text").insert(0, "milk")
  const cases = [
    [textOf("")],
    [textOf("milk, \ud83d\ude42 and\n\u0000 more")],
    [all(milk)],
    [all(ydoc => ydoc.getText("text").insert(0, "milk", { bold: true }))],
    [all(ydoc => (milk(ydoc), ydoc.getText("text").delete(1, 2)))],
    [all(ydoc => (milk(ydoc), ydoc.getText("text").delete(0, 4)))],
    [all(ydoc => (milk(ydoc), ydoc.getText("text").insert(2, "x")))],
    [all(ydoc => ydoc.getText("other").insert(0, "milk"))],
    [all(ydoc => ydoc.getMap("text").set("text", "milk"))],
    [all(ydoc => ydoc.getArray("text").insert(0, ["milk"]))],
    [all(ydoc => ydoc.getText("text").insertEmbed(0, { milk: 1 }))],
    [new Uint8Array([1, 1, 5, 0, 4, 1, 4, 116])],
    [new Uint8Array()],
    [],
    [textOf("milk"), textOf("oat ")],
  ]
  // What comes behind something that is not there.
  const later = written(milk)
  const before = Y.encodeStateVector(later)
  later.getText("text").insert(4, " and bread")
  cases.push([Y.encodeStateAsUpdate(later, before)])
  for (const [at, updates] of cases.entries()) {
    const ydoc = new Y.Doc()
    for (const update of updates) {
      try {
        Y.applyUpdate(ydoc, update)
      } catch {}
    }
    assert.equal(readUpdates(updates), ydoc.getText("text").toString(), `case ${at}`)
  }
})
