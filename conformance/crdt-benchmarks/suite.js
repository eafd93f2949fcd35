// Runs dmonad/crdt-benchmarks for what they check: node suite.js STAGE BENCHMARKS TRACES PACKAGE [wrong]
// How long it takes is measured elsewhere, beside others. STAGE is a folder in which their modules find Yjs' libraries.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { gunzipSync } from "node:zlib"

import { load } from "./factory.js"

const [stage, benchmarks, traces, folder, wrong] = process.argv.slice(2)
rmSync(stage, { recursive: true, force: true })
mkdirSync(stage, { recursive: true })
cpSync(join(benchmarks, "js-lib"), join(stage, "js-lib"), { recursive: true })
writeFileSync(join(stage, "package.json"), '{ "type": "module" }')
symlinkSync(join(folder, "node_modules"), join(stage, "node_modules"))

// The text of B4 is the first of the editing traces too, where it takes less room.
const editing = join(stage, "js-lib/b4-editing-trace.js")
const paper = join(traces, "sequential_traces/automerge-paper.json.gz")
const hasEditing = existsSync(editing) || existsSync(paper)
if (!existsSync(editing)) {
  const { txns, endContent } = hasEditing ? JSON.parse(gunzipSync(readFileSync(paper))) : { txns: [], endContent: "" }
  const edits = txns.flatMap(({ patches }) => patches)
  const lines = [`export const edits = ${JSON.stringify(edits)}`, `export const finalText = ${JSON.stringify(endContent)}`]
  writeFileSync(editing, lines.join("\n"))
}

// What they print is for people.
console.info = console.log = () => {}
const say = line => process.stdout.write(JSON.stringify(line) + "\n")

const { runBenchmarks } = await import(pathToFileURL(join(stage, "js-lib/index.js")))
const factory = await load(folder)
if (wrong) {
  const { create } = factory
  factory.create = send => {
    let updates = 0
    return create(update => updates++ % 10 !== 9 && send(update))
  }
}

say({ version: "dmonad/crdt-benchmarks" })
const names = []
await runBenchmarks(factory, name => names.push(name) && false)
for (const name of names) {
  const reason = unfit(name)
  if (reason) {
    say({ case: name, outcome: "skip", detail: reason })
    continue
  }
  try {
    await runBenchmarks(factory, other => other === name)
    say({ case: name, outcome: "pass", detail: "" })
  } catch (error) {
    say({ case: name, outcome: "fail", detail: String(error?.message ?? error).split("\n")[0] })
  }
}

function unfit(name) {
  if (name.includes("B4x100")) return "the same as B4, a hundred times"
  if (name.includes("[B4]") && !hasEditing) return "neither its trace nor the editing traces are there"
  if (/number|Array/.test(name) && !name.includes("Map")) return "documents have no lists"
  return undefined
}
