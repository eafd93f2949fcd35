import assert from "node:assert/strict"
import { test } from "node:test"
import { Workspace, defineSchema, t } from "../dist/index.js"
import { openText, readText, readUpdates, textOf, writeText } from "../dist/text.js"

const schema = defineSchema({ notes: { title: t.string(), body: t.text() } })

async function open(context) {
  const workspace = await Workspace.open({ name: "test" })
  context.after(() => workspace.close())
  const doc = await workspace.create(schema)
  const note = doc.notes.get(doc.notes.insert({ body: textOf("Hello") }, "a"))
  return { doc, note }
}

test("a text is read, edited by an editor, and changed as a whole", async context => {
  const { doc, note } = await open(context)
  assert.equal(readText(note.body), "Hello")
  const editor = openText(note.body)
  editor.text.insert(5, ", you")
  assert.equal(readText(note.body), "Hello", "what is typed is gathered")
  editor.flush()
  assert.equal(readText(note.body), "Hello, you")
  await doc.saved()
  assert.equal(readText(note.body), "Hello, you")
  writeText(note.body, "Hello, 👋🏽 all")
  assert.equal(editor.text.toString(), "Hello, 👋🏽 all", "an open editor sees it")
  writeText(note.body, "Hello, 👋🏻 all")
  assert.equal(readText(note.body), "Hello, 👋🏻 all")
  editor.close()
})

test("an editor goes on while what it wrote becomes the engine's", async context => {
  const { doc, note } = await open(context)
  const editor = openText(note.body, { gatherMs: 0, onReplaced: () => assert.fail("it is the same text") })
  const { ydoc } = editor
  for (let at = 0; at < 150; at++) {
    editor.text.insert(editor.text.length, "x")
    editor.flush()
    if (at % 10 === 0) await doc.saved()
  }
  await doc.saved()
  assert.equal(editor.ydoc, ydoc)
  assert.equal(readText(note.body), `Hello${"x".repeat(150)}`)
  assert.ok(note.body.names().length < 120, "updates were put together")
  editor.close()
})

test("a text that was deleted begins afresh, and a deleted one comes back", async context => {
  const { doc, note } = await open(context)
  let replaced = 0
  const editor = openText(note.body, { onReplaced: () => replaced++ })
  doc.notes.delete("a")
  assert.deepEqual([replaced, editor.text.toString()], [1, ""])
  doc.undo()
  await doc.saved()
  assert.equal(editor.text.toString(), "Hello")
  editor.close()
  writeText(note.body, "Good bye")
  await doc.saved()
  const [former] = await doc.history("notes/a", "body")
  assert.equal(readUpdates(former.value), "Hello")
})

test("what is pasted is written in pieces, and what is too large is taken back and said", async context => {
  const { doc, note } = await open(context)
  const large = "🙂 long ".repeat(150_000)
  writeText(note.body, large)
  assert.ok(note.body.names().length > 1)
  await doc.saved()
  assert.equal(readText(note.body), large)
  writeText(note.body, "")
  const refused = []
  let replaced = 0
  const editor = openText(note.body, { gatherMs: 0, onRefused: why => refused.push(why.kind), onReplaced: () => replaced++ })
  editor.text.insert(0, "before ")
  editor.flush()
  editor.text.insert(7, large)
  editor.flush()
  assert.deepEqual([refused, replaced, editor.text.toString()], [["invalid"], 1, "before "])
  editor.text.insert(7, "after")
  editor.close()
  assert.equal(readText(note.body), "before after")
})

test("a text that is too long to be put together is written on", async context => {
  const { doc, note } = await open(context)
  writeText(note.body, "x".repeat(800_000))
  const editor = openText(note.body, { gatherMs: 0 })
  for (let at = 0; at < 120; at++) {
    editor.text.insert(0, "y")
    editor.flush()
  }
  editor.close()
  await doc.saved()
  assert.equal(readText(note.body).length, 800_120)
})
