import assert from "node:assert/strict"
import { test } from "node:test"
import { zipSync, strToU8 } from "fflate"
import { standingOf } from "../build/model/standing.js"
import { openArchive, packArchive } from "../build/notes/archive.js"
import { commonFolder, fateOf, readFile, writeFiles } from "../build/notes/files.js"
import { rank, score } from "../build/notes/fuzzy.js"
import { graphOf, Layout } from "../build/notes/graph.js"
import { fileName, keyOf } from "../build/notes/names.js"
import { branches, byName, compareNotes, labelled, periodOf, within } from "../build/notes/order.js"
import { parseQuery, SearchIndex } from "../build/notes/search.js"
import { dayTitle, fill, formatted } from "../build/notes/templates.js"

const found = (index, query) => index.search(query).map(({ id }) => id)

test("notes are found by words, beginnings, accents, slips and tags", () => {
  const index = new SearchIndex()
  index.put([
    { id: "soup", title: "Soup", body: "leek and potatoes, slowly", tags: ["food/dinner"] },
    { id: "cafe", title: "Café", body: "where the soup is", tags: ["places"] },
    { id: "plan", title: "Plan", body: "potatoes for the week", tags: ["food"] },
  ])
  assert.deepEqual(found(index, "soup"), ["soup", "cafe"], "titles count more")
  assert.deepEqual(found(index, "pota").sort(), ["plan", "soup"])
  assert.deepEqual(found(index, "cafe"), ["cafe"])
  assert.deepEqual(found(index, "potatos").sort(), ["plan", "soup"])
  assert.deepEqual(found(index, "soup leek"), ["soup"])
  assert.deepEqual(found(index, "soup -leek"), ["cafe"])
  assert.deepEqual(found(index, "#food").sort(), ["plan", "soup"])
  assert.deepEqual(found(index, "#food potatoes #dinner"), [])
  assert.deepEqual(found(index, "#food/dinner potatoes"), ["soup"])
  assert.deepEqual(found(index, ""), [])
  assert.deepEqual(found(index, "- # ((( ***"), [])
  index.put([{ id: "soup", title: "Stew", body: "beef", tags: [] }])
  assert.deepEqual(found(index, "soup"), ["cafe"])
  assert.deepEqual(found(index, "stew"), ["soup"])
  index.remove(["cafe", "never"])
  assert.deepEqual([found(index, "soup"), index.size], [[], 2])
  assert.deepEqual(parseQuery(" a -b #C "), { words: "a", without: ["b"], tags: ["c"] })
})

test("names are found by some of their letters", () => {
  const names = ["Daily note", "Dinner", "Noted", "Another day", "Zebra"]
  assert.deepEqual(rank("note", names, name => name, 9).slice(0, 2), ["Noted", "Daily note"])
  assert.equal(rank("dn", names, name => name, 9)[0], "Daily note")
  assert.equal(score("xyz", "Zebra"), undefined)
  assert.deepEqual(rank("", names, name => name, 2).length, 2)
})

test("notes have one order, on all devices", () => {
  const note = (id, title, updated, isPinned = false) => ({ id, title, created: 0, updated, isPinned })
  const notes = [note("b", "Note 10", 5), note("a", "Note 2", 5), note("c", "", 9), note("d", "Zed", 1, true)]
  const ids = order =>
    notes
      .toSorted(compareNotes(order))
      .map(({ id }) => id)
      .join("")
  assert.equal(ids("updated"), "dcab")
  assert.equal(ids("title"), "dabc")
  assert.equal(ids("created"), "dabc")
  assert.ok(byName("note 2", "Note 10") < 0)
  const now = new Date(2026, 4, 20, 12).getTime()
  const day = 86_400_000
  const periods = [0, -1, 1, 3, 20, 100, 400].map(days => periodOf(now - days * day, now))
  assert.deepEqual(periods.slice(0, 5), ["Today", "Today", "Yesterday", "Previous 7 days", "Previous 30 days"])
  assert.equal(periods[6], "2025")
  const rows = labelled([note("d", "", now, true), note("a", "", now)], "updated", now)
  assert.deepEqual(
    rows.map(row => row.label ?? row.note.id),
    ["Pinned", "d", "Today", "a"],
  )
})

test("folders are a tree, also when two were moved into each other", () => {
  const folder = (id, parent, name = id) => ({ id, name, parent })
  const show = folders => branches(folders).map(({ depth, id }) => "-".repeat(depth) + id)
  assert.deepEqual(show([folder("c", "a"), folder("a"), folder("b", "c"), folder("d", "gone")]), ["a", "-c", "--b", "d"])
  const circle = [folder("x", "y"), folder("y", "z"), folder("z", "x"), folder("w", "y")]
  assert.deepEqual(show(circle), ["x", "-z", "--y", "---w"])
  assert.deepEqual(show(circle.toReversed()), show(circle))
  assert.deepEqual(show([folder("me", "me")]), ["me"])
  const tree = branches([folder("a"), folder("b", "a"), folder("c")])
  assert.deepEqual([[...within("a", tree)], [...within("c", tree)]], [["a", "b"], ["c"]])
  assert.deepEqual(tree[1].path, ["a", "b"])
})

test("templates are filled", () => {
  const now = new Date(2026, 0, 5, 9, 3)
  assert.equal(
    fill("{{title}} {{date}} {{ time }} {{tomorrow}} {{yesterday:D.MM.}}", { title: "T", now }).text,
    "T 2026-01-05 09:03 2026-01-06 4.01.",
  )
  assert.deepEqual(fill("a{{cursor}}b", { title: "", now }), { text: "ab", caret: 1 })
  assert.equal(fill("{{nothing}} {{date", { title: "", now }).text, "{{nothing}} {{date")
  assert.equal(formatted(now, "YYYY-[W]WW"), "2026-[W]02")
  assert.equal(dayTitle(now), "2026-01-05")
})

test("files say who they are, and what we do not know stays in them", () => {
  const note = readFile(
    "Vault/Food/Soup.md",
    '---\ntags: [Dinner, "hot"]\ncreated: 2024-05-01T10:00:00Z\ncssclass: wide\naliases:\n  - Stew\n---\n\nText',
    7,
  )
  assert.deepEqual(note, {
    title: "Soup",
    folder: ["Vault", "Food"],
    body: "---\ncssclass: wide\naliases:\n  - Stew\n---\n\nText",
    tags: ["dinner", "hot"],
    created: Date.parse("2024-05-01T10:00:00Z"),
    updated: 7,
    isPinned: false,
  })
  const plain = path => readFile(path, "\ufeffa\r\nb")
  assert.deepEqual([plain("x.txt").title, plain("x.md").body, plain("../../y.md").folder], ["x", "a\nb", []])
  assert.equal(readFile("a.md", "---\nnot: closed\ntext").body, "---\nnot: closed\ntext")
  assert.deepEqual(readFile("a.md", "---\ntags:\n  - one\n  - '#two'\n---\nx").tags, ["one", "two"])
})

test("what is written is read again as it was", () => {
  const note = (title, more = {}) => ({
    title,
    folder: [],
    body: "text\n",
    tags: [],
    created: 1e12,
    updated: 1.1e12,
    isPinned: false,
    ...more,
  })
  const notes = [
    note("Soup", { folder: ["Food", "Hot / spicy"], tags: ["dinner"], isPinned: true }),
    note('What? "Is" [this]/#that', { body: "---\nauthor: Ann\n---\nbody" }),
    note("soup", { folder: ["food", "hot spicy"] }),
    note("CON"),
    note("..."),
    note("é".repeat(300)),
  ]
  const files = writeFiles(notes)
  const paths = files.map(({ path }) => path)
  assert.equal(new Set(paths.map(path => path.toLowerCase())).size, notes.length)
  assert.deepEqual(paths.slice(0, 4), ["Food/Hot spicy/Soup.md", "What Is this that.md", "food/hot spicy/soup 2.md", "CON_.md"])
  for (const [at, { path, text }] of files.entries()) {
    assert.ok(
      path.split("/").every(part => new TextEncoder().encode(part).length < 255 && !/[<>:"\\|?*]/.test(part)),
      path,
    )
    const { title, body, tags, created, updated, isPinned } = readFile(path, text)
    const { folder, ...wanted } = notes[at]
    assert.deepEqual({ title, body, tags, created, updated, isPinned }, wanted, path)
    assert.ok(folder)
  }
})

test("only notes are taken from what somebody gives", () => {
  const fate = (path, size = 1) => fateOf({ path, size })
  assert.deepEqual(
    [
      fate("a.md"),
      fate("b/c.MARKDOWN"),
      fate("d.txt"),
      fate(".obsidian/app.md"),
      fate("a/.trash/b.md"),
      fate("__MACOSX/._a.md"),
      fate("p.png"),
      fate("big.md", 1e7),
    ],
    ["note", "note", "note", "hidden", "hidden", "hidden", "other", "large"],
  )
  assert.equal(commonFolder(["Vault/a.md", "Vault/b/c.md"]), "Vault/")
  assert.equal(commonFolder(["a.md", "Vault/b.md"]), "")
  assert.equal(commonFolder([]), "")
})

test("an archive holds notes, and bombs are not unpacked", async () => {
  const files = writeFiles([
    { title: "A", folder: ["F"], body: "text", tags: [], created: undefined, updated: 5, isPinned: false },
  ])
  const packed = packArchive(files)
  const [only, ...others] = openArchive(packed)
  assert.deepEqual([only.path, readFile(only.path, await only.text()).body, others.length], ["F/A.md", "text", 0])
  const bomb = zipSync({
    "zero.md": new Uint8Array(20_000_000),
    "b.md": strToU8("small"),
    "c.png": strToU8("no"),
    "d/": new Uint8Array(),
  })
  assert.ok(bomb.length < 100_000)
  const unpacked = openArchive(bomb)
  assert.deepEqual(unpacked.map(({ path }) => path).sort(), ["b.md", "c.png", "zero.md"])
  assert.equal(await unpacked.find(({ path }) => path === "zero.md").text(), "")
  assert.throws(() => openArchive(strToU8("this is no archive")))
})

test("titles become names that every desk takes", () => {
  assert.deepEqual(["a/b:c", " . ", "", "nul", "x\u0000y", "Straße"].map(fileName), [
    "a b c",
    "Untitled",
    "Untitled",
    "nul_",
    "x y",
    "Straße",
  ])
  assert.equal(keyOf("  A\u0301  b "), keyOf("Á B"))
})

test("a graph has each link once, and its notes find places of their own", () => {
  const links = new Map([
    ["a", ["b", "b", "a", "gone"]],
    ["b", ["a", "c"]],
    ["c", []],
    ["d", []],
  ])
  const graph = graphOf(links)
  assert.deepEqual(graph.edges, [
    [0, 1],
    [1, 2],
  ])
  const run = () => {
    const layout = new Layout(graph)
    for (let step = 0; step < 400 && layout.step(); step++);
    return layout
  }
  const [one, other] = [run(), run()]
  assert.deepEqual(one.x, other.x)
  assert.ok(one.x.every(Number.isFinite) && one.y.every(Number.isFinite))
  const distance = (i, j) => Math.hypot(one.x[i] - one.x[j], one.y[i] - one.y[j])
  assert.ok(distance(0, 1) + distance(1, 2) < distance(3, 1) + distance(3, 2), "what is linked is near")
  assert.ok(distance(0, 3) > 20 && distance(0, 1) > 20, "and nobody stands on another")
  assert.equal(one.at(one.x[2], one.y[2], 1), 2)
  assert.equal(one.step(), false)
  new Layout(graphOf(new Map())).step()
})

test("what is said of how it stands is never better than it is", () => {
  const state = {
    connection: "live",
    behind: 0,
    role: "leader",
    unsaved: 0,
    pending: 0,
    trouble: undefined,
    isVolatile: false,
    found: "known",
    storage: undefined,
  }
  const check = (change, kind, label) => {
    const standing = standingOf({ ...state, ...change })
    assert.deepEqual([standing.kind, standing.label], [kind, label])
    return standing.detail
  }
  check({}, "good", "Synced")
  check({ pending: 2 }, "busy", "Syncing 2…")
  check({ unsaved: 1 }, "busy", "Saving…")
  check({ connection: "offline" }, "waiting", "Offline")
  assert.match(check({ connection: "offline", pending: 1 }, "waiting", "Offline · 1 waiting"), /1 change will be sent/)
  check({ connection: "connecting", pending: 3 }, "busy", "Connecting · 3 waiting")
  check({ connection: "behind", behind: 9 }, "busy", "Receiving 9…")
  check({ connection: "none" }, "good", "On this device")
  check({ connection: "denied", pending: 4 }, "bad", "Not let in")
  check({ isVolatile: true }, "bad", "Not kept")
  check({ isVolatile: true, connection: "offline", pending: 1 }, "bad", "Not kept")
  const trouble = kind => Object.assign(new Error("why"), { kind })
  check({ unsaved: 2, trouble: trouble("unavailable") }, "bad", "Not saved")
  check({ trouble: trouble("full") }, "bad", "Disk full")
  check({ trouble: trouble("outdated") }, "bad", "Reload needed")
})
