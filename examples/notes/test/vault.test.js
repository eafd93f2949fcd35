import assert from "node:assert/strict"
import { test } from "node:test"
import { ClientError, Workspace } from "@selvedge/client"
import { eventually } from "../../../packages/client/test/waits.js"
import { firstText, readBody } from "../build/model/body.js"
import { openBody } from "../build/model/open-body.js"
import { TRASH_MS, Vault } from "../build/model/vault.js"
import { SearchIndex } from "../build/notes/search.js"
import { dayId } from "../build/notes/templates.js"
import { schema } from "../build/schema.js"

class Finder extends SearchIndex {
  async search(text) {
    return super.search(text)
  }
}

let count = 0

/** A vault in memory; `run` gets it. */
function inVault(name, run) {
  test(name, async () => {
    const workspace = await Workspace.open({ name: `vault-${process.pid}-${++count}` })
    const vault = new Vault(await workspace.create(schema), new Finder())
    try {
      await run(vault, workspace)
    } finally {
      vault.close()
      await workspace.close()
    }
  })
}

/** Resolves when all texts were read. */
async function read(vault) {
  await Promise.resolve()
  await eventually(() => vault.isRead, "all texts to be read")
}

inVault("links, tags and hits follow what is written", async vault => {
  const soup = vault.create({ title: "Soup", body: "see [[Bread]] #Food" })
  const bread = vault.create({ title: "Bread", tags: ["Food", "oven"] })
  await read(vault)
  assert.deepEqual(vault.backlinks(bread), [{ id: soup, context: "see Bread #Food" }])
  assert.deepEqual([...vault.tagCounts()].sort(), [
    ["food", 2],
    ["oven", 1],
  ])
  assert.deepEqual(vault.links().get(soup), [bread])
  assert.equal(vault.rename(bread, "Loaf"), 1)
  assert.equal(vault.body(soup), "see [[Loaf]] #Food")
  await read(vault)
  assert.equal(vault.resolve("loaf"), bread)
  assert.deepEqual((await vault.finder.search("loaf")).map(({ id }) => id).sort(), [bread, soup].sort())
  vault.trash([bread])
  await read(vault)
  assert.equal(vault.resolve("loaf"), undefined)
  assert.deepEqual(vault.links().get(soup), [])
  assert.ok(vault.doc.undo())
  assert.equal(vault.resolve("loaf"), bread)
  vault.deleteForever([soup])
  assert.deepEqual([vault.note(soup), vault.backlinks(bread), vault.tagCounts().get("food")], [undefined, [], 1])
})

inVault("a title that two notes have means the older one, and nobody is renamed by it", async vault => {
  const one = vault.create({ title: "Same" })
  const row = vault.row(one)
  row.created = 5
  vault.create({ title: "same" })
  vault.create({ title: "Linker", body: "[[Same]]" })
  await read(vault)
  assert.equal(vault.resolve(" SAME "), one)
  assert.equal(vault.rename(one, "Other"), 0)
})

inVault("trash is emptied after its time", async vault => {
  const [old, young, kept] = ["old", "young", "kept"].map(title => vault.create({ title }))
  vault.trash([old, young])
  vault.row(old).trashed = Date.now() - TRASH_MS - 1
  assert.equal(vault.sweep(), 1)
  assert.deepEqual([vault.note(old), vault.note(young)?.title, vault.note(kept)?.title], [undefined, "young", "kept"])
})

inVault("a folder that goes leaves what was in it", async vault => {
  const outer = vault.createFolder("Outer")
  const inner = vault.createFolder("Inner", outer)
  const deep = vault.createFolder("Deep", inner)
  const note = vault.create({ title: "note", folder: inner })
  vault.deleteFolder(inner)
  assert.equal(vault.note(note).folder, outer)
  assert.deepEqual(vault.folder(deep).path, ["Outer", "Deep"])
  vault.deleteFolder(outer)
  vault.trash([note])
  vault.restore([note])
  assert.equal(vault.note(note).folder, "")
})

inVault("a day is one note, also when two devices begin it", async (vault, workspace) => {
  const date = new Date(2026, 4, 1)
  const id = vault.day(date)
  assert.equal(id, dayId(date))
  assert.equal(vault.day(date), id)
  const other = new Vault(await workspace.create(schema), new Finder())
  other.day(date)
  const field = vault.row(id).body
  for (const update of other.row(id).body.updates()) field.push(update)
  assert.equal(readBody(field), other.body(id))
  other.close()
  assert.deepEqual(firstText("a"), firstText("a"))
})

inVault("what is exported comes back as it was, and is not taken twice", async (vault, workspace) => {
  const folder = vault.createFolder("Work")
  vault.create({ title: "A", folder, body: "text [[B]]", tags: ["x"] })
  vault.create({ title: "B", body: "---\nmine: 1\n---\nbody" })
  vault.trash([vault.create({ title: "gone" })])
  const files = await vault.export()
  assert.deepEqual(files.map(({ title }) => title).sort(), ["A", "B"])
  assert.equal(await vault.import(files, () => undefined), 0)
  const other = new Vault(await workspace.create(schema), new Finder())
  const steps = []
  assert.equal(await other.import(files, done => steps.push(done)), 2)
  assert.deepEqual(steps, [2])
  const strip = files => files.map(({ updated, ...file }) => file).sort((a, b) => (a.title < b.title ? -1 : 1))
  assert.deepEqual(strip(await other.export()), strip(files))
  const stopped = new AbortController()
  stopped.abort()
  assert.equal(await other.import([{ ...files[0], title: "new" }], () => undefined, stopped.signal), 0)
  other.close()
})

inVault("who takes back that a note was begun keeps what was written in it, and can go on", async vault => {
  const note = vault.create()
  vault.rename(note, "Plan")
  vault.rewrite(note, () => "a minute of words")
  vault.row(note).updated -= 60_000
  vault.touch(note)
  // One step each: the time that was set here, and the title. That somebody writes is none.
  assert.deepEqual([vault.doc.undo(), vault.doc.undo(), vault.doc.undo()], [true, false, false])
  assert.equal(vault.note(note).title, "")
  assert.equal(vault.body(note), "a minute of words")
  vault.touch(note)
  assert.equal(vault.doc.redo(), true)
  assert.equal(vault.note(note).title, "Plan")
})

inVault("links follow a title from the one that they are by, and to no other note", async vault => {
  const [soup, linker] = [vault.create({ title: "Soup" }), vault.create({ title: "Linker", body: "[[Soup]]" })]
  await read(vault)
  for (const title of ["", "a|b"]) assert.equal(vault.rename(soup, title), undefined)
  vault.retitle(soup, "Leek")
  assert.equal(vault.body(linker), "[[Soup]]")
  assert.equal(vault.rename(soup, "Leek soup", "Soup"), 1)
  assert.equal(vault.body(linker), "[[Leek soup]]")
  const so = vault.create({ title: "So" })
  vault.row(so).created = 5
  await read(vault)
  assert.equal(vault.rename(soup, "So"), undefined)
  assert.equal(vault.body(linker), "[[Leek soup]]")
  assert.equal(vault.rename(soup, "Soup", "Leek soup"), 1)
  assert.equal(vault.body(linker), "[[Soup]]")
})

inVault("what goes into the trash by a clock that is behind is not old there", async vault => {
  const [mine, other] = [vault.create({ title: "mine" }), vault.create({ title: "other" })]
  const { updated } = vault.note(other)
  vault.row(mine).updated = 5
  vault.trash([mine], 7)
  assert.equal(vault.note(mine).trashed, updated)
  assert.equal(vault.sweep(), 0)
})

inVault("what is typed by who may not write any more is taken back and said, not thrown", async vault => {
  const { body } = vault.row(vault.create({ body: "as it was" }))
  const told = []
  const field = {
    ...{ entity: body.entity, field: body.field, names: () => body.names(), updates: () => body.updates() },
    push: () => {
      throw new ClientError("denied", "this device may read the document, and not write in it")
    },
    subscribe: listener => body.subscribe(listener),
  }
  const opened = openBody(
    field,
    () => told.push("replaced"),
    () => undefined,
    why => told.push(why.kind),
  )
  opened.text.insert(0, "typed, ")
  opened.flush()
  assert.deepEqual([told, opened.text.toString()], [["replaced", "denied"], "as it was"])
  opened.close()
})
