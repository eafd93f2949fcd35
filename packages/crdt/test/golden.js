// The story of libs/crdt/tests/it/golden.rs, told in JavaScript.
import { readFileSync } from "node:fs"
import { Doc } from "../dist/index.js"

/** The bytes of a golden file. */
export function golden(name) {
  const text = readFileSync(new URL(`../../../libs/crdt/tests/golden/v1/${name}`, import.meta.url), "utf8")
  const digits = text.split("\n").map(line => line.split("|")[0])
  return Buffer.from(digits.join("").replaceAll(" ", ""), "hex")
}

/** Two replicas that write something of every kind. */
export function story() {
  const a = new Doc({ replica: "a1".repeat(16), now: () => 1_001 })
  const b = new Doc({ replica: "b2".repeat(16), now: () => 2_001 })
  a.change(() => {
    a.set("note/1", "title", "Milk")
    a.set("note/1", "done", false)
    a.set("note/2", "title", null)
    for (const tag of ["blue", "red"]) a.add("note/1", "tags", tag)
    a.include("note/1", "seen", "ann")
    a.raise("note/1", "high", 5)
    a.lower("note/1", "low", -0.5)
    a.increment("note/1", "votes", 2)
    a.pushText("note/1", "body", new Uint8Array([0, 0]))
    a.create("settings")
  })
  const fromA = a.takeBatches()
  for (const batch of fromA) b.apply(batch)
  b.change(() => {
    b.set("note/1", "title", "Oat milk")
    b.remove("note/1", "tags", "red")
    b.assign("note/1", "names", "x")
    b.delete("note/2")
    b.bury("settings")
  })
  const fromB = b.takeBatch()
  a.apply(fromB)
  return { a, b, fromA, fromB }
}
