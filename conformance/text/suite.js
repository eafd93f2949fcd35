// Texts in Rust beside Yjs, and the editing traces: node suite.js PROGRAM YJS TRACES [wrong]
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { gunzipSync } from "node:zlib"

import { Pipe, hex } from "./pipe.js"

const [program, yjs, traces, wrong] = process.argv.slice(2)
const resolve = createRequire(join(yjs, "package.json")).resolve
const Y = await import(pathToFileURL(resolve("yjs")))
const say = line => console.log(JSON.stringify(line))
const { version } = JSON.parse(readFileSync(join(yjs, "node_modules/yjs/package.json"), "utf8"))
say({ version: `yjs ${version}; josephg/editing-traces` })

/** Runs a case in a pipe of its own. What is wrong on purpose: replicas that never hear of the last batch. */
async function run(name, story) {
  const pipe = new Pipe(program)
  try {
    const detail = await story(pipe)
    say({ case: name, outcome: detail ? "fail" : "pass", detail: detail ?? "" })
  } catch (error) {
    say({ case: name, outcome: "fail", detail: String(error.message).split("\n")[0] })
  }
  await pipe.end()
}

/** Numbers that look like chance, the same in every run. */
function chance(seed) {
  let state = seed
  return below => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const WORDS = ["a", "bc", "milk ", "é", "🙂", "\n", "longer than most"]

/** Two editors with Yjs and two replicas in Rust write at the same time, and exchange updates of Yjs. */
async function together(pipe, seed) {
  const next = chance(seed)
  const docs = [new Y.Doc(), new Y.Doc()]
  docs.forEach((doc, at) => (doc.clientID = 1 + at + 10 * seed))
  for (let round = 0; round < 12; round++) {
    for (const doc of docs) for (let at = next(3); at >= 0; at--) type(doc.getText("text"), next)
    for (const replica of [1, 2]) await write(pipe, replica, next)
    const updates = docs.map(doc => Y.encodeStateAsUpdate(doc))
    for (const replica of [1, 2]) updates.push(Buffer.from(await pipe.ask(replica, "update"), "hex"))
    if (wrong) updates.pop()
    for (const doc of docs) for (const update of updates) Y.applyUpdate(doc, update)
    // In Rust an update of everything takes the place of what was there before.
    for (const replica of [1, 2]) {
      for (const update of updates) await pipe.ask(replica, `push ${hex(update)}`)
      await pipe.ask(replica, "squash")
    }
    const expected = docs[0].getText("text").toString()
    for (const replica of [1, 2]) {
      const found = await pipe.text(replica)
      if (found !== expected) return `round ${round}: ${JSON.stringify(found)} is not ${JSON.stringify(expected)}`
      const vector = Y.decodeStateVector(Buffer.from(await pipe.ask(replica, "vector"), "hex"))
      const own = Y.decodeStateVector(Y.encodeStateVector(docs[0]))
      const same = vector.size === own.size && [...own].every(([client, clock]) => vector.get(client) === clock)
      if (!same) return `round ${round}: state vectors differ`
    }
  }
}

/** Types or deletes something, between characters. */
function type(text, next) {
  const characters = [...text.toString()]
  const from = next(characters.length + 1)
  const gone = characters.slice(from, from + next(3)).join("").length
  const start = characters.slice(0, from).join("").length
  text.doc.transact(() => {
    text.delete(start, gone)
    if (next(3) > 0) text.insert(start, WORDS[next(WORDS.length)])
  })
}

async function write(pipe, replica, next) {
  const length = [...(await pipe.text(replica))].length
  const from = next(length + 1)
  const to = Math.min(length, from + next(3))
  await pipe.ask(replica, `replace ${from} ${to} ${hex(Buffer.from(WORDS[next(WORDS.length)]))}`)
  await pipe.ask(replica, "commit")
}

/** What others have and Yjs writes: formatting, embedded objects, other roots, nested types. They count as no text. */
async function rich(pipe) {
  const doc = new Y.Doc()
  const text = doc.getText("text")
  text.insert(0, "bold and plain", {})
  text.format(0, 4, { bold: true })
  text.insertEmbed(4, { image: "x.png" })
  text.insertEmbed(0, new Y.Map([["nested", new Y.Array()]]))
  doc.getMap("other").set("key", [1, -1.5, null, true, "x", new Uint8Array([1]), { deep: [{}] }])
  doc.getXmlFragment("prosemirror").insert(0, [new Y.XmlElement("p")])
  await pipe.ask(1, `push ${hex(Y.encodeStateAsUpdate(doc))}`)
  if (wrong) await pipe.ask(1, "replace 0 1 78")
  await pipe.ask(1, `replace 4 9 ${hex(Buffer.from(", "))}`)
  await pipe.ask(1, "commit")
  Y.applyUpdate(doc, Buffer.from(await pipe.ask(1, "update"), "hex"))
  const [found, expected] = [await pipe.text(1), "bold, plain"]
  if (found !== expected) return `${JSON.stringify(found)} is not ${JSON.stringify(expected)}`
  const kept = text.toDelta().map(({ insert }) => (typeof insert === "string" ? insert : "*")).join("")
  if (kept !== "*bold*, plain") return `Yjs has ${JSON.stringify(kept)}`
}

/** One writer types a whole trace; another reads it from batches. */
async function sequential(pipe, { startContent, endContent, txns }) {
  const patches = [[0, 0, startContent], ...txns.flatMap(({ patches }) => patches)]
  for (let at = 0; at < patches.length; at += 1000) {
    const part = patches.slice(at, at + 1000).map(replace)
    const written = (await pipe.askAll(1, [...part, "commit"])).at(-1)
    const squashed = at % 20_000 === 0 ? await pipe.ask(1, "squash") : ""
    const batches = `${written} ${squashed}`.split(" ").filter(Boolean)
    if (wrong && at + 1000 >= patches.length) batches.length = 0
    for (const batch of batches) await pipe.ask(2, `apply ${batch}`)
  }
  return compare(await pipe.text(2), endContent)
}

/** Each agent is a replica, which has heard of what a transaction follows from when it writes that. */
async function concurrent(pipe, { endContent, txns, numAgents }) {
  const heard = Array.from({ length: numAgents + 1 }, () => new Set())
  const batches = []
  const hear = async (agent, heads) => {
    const missing = closure(txns, heads, heard[agent])
    const commands = missing.flatMap(at => batches[at]).map(batch => `apply ${batch}`)
    if (commands.length > 0) await pipe.askAll(agent, commands)
    missing.forEach(at => heard[agent].add(at))
  }
  for (const [at, { agent, parents, patches }] of txns.entries()) {
    await hear(agent, parents)
    const answers = await pipe.askAll(agent, [...patches.map(replace), "commit"])
    batches[at] = answers.at(-1).split(" ").filter(Boolean)
    heard[agent].add(at)
    if (at % 100 === 99) batches[at].push(...(await pipe.batches(agent, "squash")))
  }
  const all = txns.map((_, at) => at)
  await hear(numAgents, wrong ? all.slice(0, -100) : all)
  return compare(await pipe.text(numAgents), endContent)
}

const replace = ([at, gone, text]) => `replace ${at} ${at + gone} ${hex(Buffer.from(text))}`

/** The transactions that these follow from, with themselves, and that nobody said yet, the first first. */
function closure(txns, heads, known) {
  const found = new Set()
  const open = [...heads]
  while (open.length > 0) {
    const at = open.pop()
    if (known.has(at) || found.has(at)) continue
    found.add(at)
    open.push(...txns[at].parents)
  }
  return [...found].sort((a, b) => a - b)
}

function compare(found, expected) {
  if (found === expected) return undefined
  let at = 0
  while (found[at] === expected[at]) at++
  return `${found.length} characters are not the ${expected.length} expected, from ${at} on`
}

for (let seed = 1; seed <= 20; seed++) await run(`Yjs and Rust write together, seed ${seed}`, pipe => together(pipe, seed))
await run("what is not text stays in its place", rich)

const KINDS = [
  ["sequential_traces", sequential],
  ["concurrent_traces", concurrent],
]
for (const [folder, play] of KINDS) {
  const path = join(traces, folder)
  if (!existsSync(path)) {
    say({ case: folder, outcome: "skip", detail: `no ${path}` })
    continue
  }
  for (const file of readdirSync(path).filter(name => name.endsWith(".json.gz")).sort()) {
    const trace = JSON.parse(gunzipSync(readFileSync(join(path, file))).toString())
    await run(`${folder} ${file.replace(".json.gz", "")}`, pipe => play(pipe, trace))
  }
}
