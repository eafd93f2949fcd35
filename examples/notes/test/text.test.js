import assert from "node:assert/strict"
import { test } from "node:test"
import { changeBetween, changesOf, moved, piecesOf } from "../build/text/change.js"
import { complete, wantedAt } from "../build/text/completion.js"
import * as editing from "../build/text/editing.js"
import { highlight } from "../build/text/highlight.js"
import { compare } from "../build/text/lines.js"
import { outline } from "../build/text/outline.js"
import { read, toggleTask } from "../build/text/markdown.js"
import { excerpt, headLines, relink, scan } from "../build/text/scan.js"

/** A text in which `|` is the caret, or two of them what is selected. */
function selected(marked) {
  const start = marked.indexOf("|")
  const rest = marked.replace("|", "")
  const end = rest.indexOf("|")
  return { text: rest.replace("|", ""), start, end: end < 0 ? start : end }
}

function show({ text, start, end }) {
  if (start === end) return `${text.slice(0, start)}|${text.slice(start)}`
  return `${text.slice(0, start)}|${text.slice(start, end)}|${text.slice(end)}`
}

const edits = (name, edit, table) =>
  test(name, () => {
    for (const [before, after] of table) {
      const from = selected(before)
      const made = edit(from)
      assert.equal(made && show(editing.applied(from, made)), after, before)
    }
  })

edits("Enter goes on with a list, and ends it", editing.newline, [
  ["- a|", "- a\n- |"],
  ["- a|b", "- a\n- |b"],
  ["  * a|", "  * a\n  * |"],
  ["9. a|", "9. a\n10. |"],
  ["- [x] a|", "- [x] a\n- [ ] |"],
  ["> a|", "> a\n> |"],
  ["> - a|", "> - a\n> - |"],
  ["- a\n- |", "- a\n|"],
  ["- a\n  - |", "- a\n- |"],
  ["text|", undefined],
  ["|- a", undefined],
])

edits("marks go around words, and away", selected => editing.surround(selected, "**"), [
  ["a wo|rd b", "a **wo|rd** b".replace("wo|rd", "|word|")],
  ["a |two words| b", "a **|two words|** b"],
  ["a **|two words|** b", "a |two words| b"],
  ["|**two words**|", "|two words|"],
  ["a | b", "a **|** b"],
  ["| spaced |", " **|spaced|** "],
])

edits("one star of two is not taken for another mark", selected => editing.surround(selected, "*"), [
  ["**|bold|**", "***|bold|***"],
  ["***|both|***", "**|both|**"],
])

edits("links are begun where something is missing", editing.link, [
  ["|words|", "[words](|)"],
  ["|https://a.example|", "[|](https://a.example)"],
  ["|", "[|]()"],
])

edits("lines become items and headings, and plain again", selected => editing.prefix(selected, "- "), [
  ["a|", "- a|"],
  ["- a|", "a|"],
  ["|a\nb|", "|- a\n- b|"],
  ["|- a\n- b|", "|a\nb|"],
  ["1. a|", "- a|"],
  ["## a|", "- a|"],
])
edits("numbers count", selected => editing.prefix(selected, "1. "), [["|a\n\nb|", "|1. a\n\n2. b|"]])
edits("a heading", selected => editing.prefix(selected, "## "), [
  ["- a|", "## a|"],
  ["## a|", "a|"],
])
edits("tasks are ticked", editing.tick, [
  ["- [ ] a|", "- [x] a|"],
  ["- [x] a|", "- [ ] a|"],
  ["a|", "- [ ] a|"],
  ["|- [x] a\n- [ ] b|", "|- [x] a\n- [x] b|"],
])
edits("Tab is for lists only", selected => editing.indent(selected, 1), [
  ["- a|", "  - a|"],
  ["a|", undefined],
])
edits("and back", selected => editing.indent(selected, -1), [
  ["  - a|", "- a|"],
  ["- a|", undefined],
])
edits("lines go up", selected => editing.moveLines(selected, -1), [
  ["a\nb|c", "b|c\na"],
  ["a|\nb", undefined],
])
edits("and down", selected => editing.moveLines(selected, 1), [
  ["a|\nb\nc", "b\na|\nc"],
  ["a\nb|", undefined],
])

test("what was typed is found, where the caret is", () => {
  const check = (before, after, expected) => {
    const { text, start } = selected(after)
    assert.deepEqual(changeBetween(before, text, start), expected, after)
  }
  check("aa", "aa|a", { at: 1, removed: 0, insert: "a" })
  check("aaa", "a|a", { at: 1, removed: 1, insert: "" })
  check("hello", "hell|o", undefined)
  check("abc", "x|", { at: 0, removed: 3, insert: "x" })
  check("a😀b", "a😁|b", { at: 1, removed: 2, insert: "😁" })
  check("", "new|", { at: 0, removed: 0, insert: "new" })
})

test("what was typed makes the text that was typed, whatever it was", () => {
  let seed = 7
  const random = below => (seed = (seed * 48271) % 2147483647) % below
  const word = () => Array.from({ length: random(8) }, () => ["a", "b", "\n", "😀", "é"][random(5)]).join("")
  for (let round = 0; round < 3000; round++) {
    const [before, after] = [word(), word()]
    const change = changeBetween(before, after, random(after.length + 1))
    const made = change ? before.slice(0, change.at) + change.insert + before.slice(change.at + change.removed) : before
    assert.equal(made, after)
    if (change) assert.ok(!/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(change.insert), "half of a character")
  }
})

test("a caret stays where it is when others write", () => {
  const changes = changesOf([{ retain: 2 }, { insert: "xy" }, { retain: 1 }, { delete: 2 }])
  assert.deepEqual(changes, [
    { at: 2, removed: 0, insert: "xy" },
    { at: 5, removed: 2, insert: "" },
  ])
  assert.deepEqual(
    [0, 2, 3, 4, 6].map(at => changes.reduce(moved, at)),
    [0, 2, 5, 5, 6],
  )
})

test("what is about to be written is noticed", () => {
  const check = (marked, expected) => assert.deepEqual(wantedAt(selected(marked).text, selected(marked).start), expected, marked)
  check("see [[Sou|", { kind: "note", query: "Sou", from: 6 })
  check("see [[Soup|]]", { kind: "note", query: "Soup", from: 6 })
  check("see [[Soup]] |", undefined)
  check("a #foo|", { kind: "tag", query: "foo", from: 3 })
  check("a#foo|", undefined)
  check("# |", undefined)
  const finish = (marked, chosen) => {
    const { text, start } = selected(marked)
    return show(editing.applied({ text, start, end: start }, complete(wantedAt(text, start), text, chosen)))
  }
  assert.equal(finish("see [[Sou|", "Soup"), "see [[Soup]]|")
  assert.equal(finish("see [[Sou|]] now", "Soup"), "see [[Soup]]| now")
  assert.equal(finish("a #fo| b", "food"), "a #food| b")
})

test("links, tags and tasks are found, and not in code", () => {
  const body =
    "---\ntags: [x]\n---\n[[A]] [[A|b]] [[B#c]] #one `#two [[C]]`\n```\n[[D]] #three\n```\n- [x] done\n- [ ] #Four/five\n[e](Folder/E%20F.md) [g](https://g.example/#x)"
  assert.deepEqual(scan(body), { links: ["A", "B", "E F"], tags: ["one", "four/five"], tasks: 2, tasksDone: 1 })
  assert.equal(headLines(body), 3)
  assert.equal(headLines("---\nno end"), 0)
  assert.deepEqual(scan("`` ` #a `` `#b` ``` #c `#d").tags, ["c"])
  assert.deepEqual(scan("a" + "`".repeat(50_001) + " #e").tags, ["e"])
  assert.deepEqual(scan("#123 a#b ##x [[]] ##"), { links: [], tags: [], tasks: 0, tasksDone: 0 })
  assert.deepEqual(scan("(#Ünïcode) #日本").tags, ["ünïcode", "日本"])
})

test("links follow a title, and tasks are ticked by their number", () => {
  const isSoup = title => title.toLowerCase() === "soup"
  assert.equal(
    relink("[[Soup]] [[soup#a|b]] [[Bread]]\n```\n[[Soup]]\n```", isSoup, "Stew"),
    "[[Stew]] [[Stew#a|b]] [[Bread]]\n```\n[[Soup]]\n```",
  )
  assert.equal(toggleTask("- [ ] a\n> 1. [x] b\n", 1), "- [ ] a\n> 1. [ ] b\n")
  assert.equal(toggleTask("- [ ] a", 5), "- [ ] a")
})

test("a list shows words, and no marks", () => {
  assert.equal(
    excerpt("---\na: b\n---\n# Title\n\n- [ ] **bold** [[A|b]] and `code` [c](d)\n> quoted"),
    "Title bold b and code c quoted",
  )
  assert.equal(excerpt("x".repeat(1000)).length, 160)
})

test("colours never change the text, and lines that stay are the same", () => {
  const text = "# Head\n\n- [x] a **b** *c* `d`\n> [[e]] #f ==g== ~~h~~ https://i.example\n```\n# no\n```\n| a | b |\nend"
  const lines = highlight(text, 0)
  assert.equal(lines.map(({ runs }) => runs.map(run => run.text).join("")).join("\n"), text)
  assert.deepEqual(
    new Set(lines.flatMap(({ runs }) => runs.map(run => run.look))),
    new Set([
      "syntax",
      "heading",
      "done",
      "strong",
      "emphasis",
      "code",
      "quote",
      "link",
      "tag",
      "mark",
      "strike",
      "fence",
      undefined,
    ]),
  )
  const after = highlight(text.replace("\n\n", "\n\nnew\n"), 0, lines)
  assert.equal(after.filter(line => !lines.includes(line)).length, 1)
  const opened = highlight(text.replace("end", "```"), 0, lines)
  assert.equal(opened.at(-1).isProse, false)
})

test("what is different is shown line by line", () => {
  const show = lines => lines.map(({ kind, text }) => ({ same: " ", added: "+", removed: "-" })[kind] + text).join("")
  assert.equal(show(compare("a\nb\nc", "a\nx\nc")), " a-b+x c")
  assert.equal(show(compare("a\nb", "a\nb")), " a b")
  assert.equal(show(compare("", "a")), "-+a")
  assert.equal(show(compare("a\nb\nc\nd", "b\nd\ne")), "-a b-c d+e")
})

test("the outline has headings, and the lines they are in", () => {
  assert.deepEqual(outline("# A\n```\n# no\n```\n## **B** ##"), [
    { depth: 1, text: "A", line: 0 },
    { depth: 2, text: "B", line: 4 },
  ])
})

test("what is pasted is cut into pieces, and no character is", () => {
  for (const [text, lengths] of [
    ["", []],
    ["a", [1]],
    ["a".repeat(131_072), [131_072]],
    ["a".repeat(131_071) + "🙂b", [131_073, 1]],
    ["🙂".repeat(70_000), [131_072, 8_928]],
  ]) {
    const pieces = piecesOf(text)
    assert.deepEqual(
      pieces.map(({ length }) => length),
      lengths,
    )
    assert.equal(pieces.join(""), text)
  }
})

/** Notes whose boxes are not all tasks; those that are say so. */
const BOXES = [
  "- [ ] \n- [ ] task",
  "- [ ]\n- [x] task\n- [y] no\n- [ ]no",
  "    - [ ] code\n\n- [ ] task",
  "- [ ] task\n    - [x] task\n\n      - [ ] task",
  "words\n\n\t- [ ] code\n\nwords\n- [ ] task",
  "<!-- - [ ] said\n- [ ] to nobody -->\n- [X] task",
  "<!--\n- [ ] no\n-->\n\n1. [ ] task",
  "- - [ ] task\n- 1. [x] task",
  "> - [ ] task\n> - [ ] \n\n- [ ] task",
  "---\nbox: - [ ] no\n---\n- [ ] task\n\n```\n- [ ] no\n```\n* [x] task",
  "[ ] no, [x] no\n+ [ ] task with [ ] in it\n- [x] task",
]

test("whoever reads a note and whoever looks through it count the same tasks", () => {
  for (const body of BOXES) {
    const { tasks, tasksDone } = scan(body)
    const seen = read(body, { isThere: () => true }).tasks
    assert.deepEqual([tasks, tasksDone], [seen.length, seen.filter(Boolean).length], body)
    assert.equal(tasks, body.match(/\] task/g).length, body)
  }
})

test("a tick is on the line that was ticked, whatever else looks like a task", () => {
  for (const body of BOXES) {
    const lines = body.split("\n")
    const tasks = lines.flatMap((line, at) => (line.includes("] task") ? [at] : []))
    for (const [number, at] of tasks.entries()) {
      const ticked = toggleTask(body, number)
      const other = ticked.split("\n").flatMap((line, at) => (line === lines[at] ? [] : [at]))
      assert.deepEqual(other, [at], body)
      assert.equal(ticked.length, body.length)
      assert.equal(toggleTask(ticked, number), body.replace("[X]", "[x]"))
    }
  }
})

test("a title may have signs that mean something to who replaces", () => {
  for (const title of ["$&", "$$", "$'", "US$1 $<x>"])
    assert.equal(
      relink("[[a|b]] [[A#c]]", () => true, title),
      `[[${title}|b]] [[${title}#c]]`,
    )
})
