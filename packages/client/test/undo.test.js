import assert from "node:assert/strict"
import { test } from "node:test"
import { Workspace, defineSchema, t } from "../dist/index.js"
import { openText, readText, textOf } from "../dist/text.js"

const schema = defineSchema({ notes: { title: t.string(), updated: t.int(), body: t.text() } })

async function open(context) {
  const workspace = await Workspace.open({ name: "test" })
  context.after(() => workspace.close())
  return workspace.create(schema)
}

test("who takes back that an entity was made does not lose what was written in its texts since", async context => {
  const doc = await open(context)
  doc.notes.insert({ title: "old", body: textOf("from the start") }, "old")
  const id = doc.notes.insert({ title: "new" }, "new")
  const editor = openText(doc.notes.get(id).body)
  editor.text.insert(0, "typed for a minute")
  editor.close()
  doc.notes.get(id).title = "newer"
  assert.equal(doc.undo(), true)
  assert.equal(doc.notes.get(id).title, "new")
  // The step that made it is passed over; the one before is not.
  assert.equal(doc.undo(), true)
  assert.equal(readText(doc.notes.get(id).body), "typed for a minute")
  assert.equal(doc.notes.has("old"), false)
  assert.deepEqual([doc.undo(), doc.canUndo, doc.redo()], [false, false, true])
  assert.equal(readText(doc.notes.get("old").body), "from the start")
})

test("what cannot be taken back as a whole is left as it is", async context => {
  const doc = await open(context)
  const note = doc.notes.get(doc.notes.insert({ title: "new", updated: 5 }))
  note.body.push(textOf("typed"))
  assert.deepEqual([doc.undo(), note.title, note.updated], [false, "new", 5])
})

test("what came back with its text goes again", async context => {
  const doc = await open(context)
  doc.notes.insert({ body: textOf("text") }, "a")
  doc.notes.delete("a")
  doc.undo()
  assert.equal(readText(doc.notes.get("a").body), "text")
  doc.redo()
  assert.equal(doc.notes.has("a"), false)
})

test("a change that is no step is neither taken back nor in the way of one", async context => {
  const doc = await open(context)
  const note = doc.notes.get(doc.notes.insert({ title: "a" }))
  note.title = "b"
  const touch = () => doc.transaction(() => (note.updated += 1), { undo: false })
  touch()
  doc.undo()
  assert.equal(note.title, "a")
  touch()
  assert.equal(doc.redo(), true)
  assert.deepEqual([note.title, note.updated], ["b", 2])
})
