import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { before, test } from "node:test"
import { Doc, init, toHex } from "../dist/index.js"

before(() => init())

const PROGRAM = process.env.SELVEDGE_REPLICA
const skip = !PROGRAM || !existsSync(PROGRAM) ? "SELVEDGE_REPLICA names no program; cargo xtask test builds it" : false

/** A native replica at the other end of a pipe. */
class Native {
  #child = spawn(PROGRAM, { stdio: ["pipe", "pipe", "inherit"] })
  #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()

  async ask(line) {
    this.#child.stdin.write(line + "\n")
    const { value, done } = await this.#lines.next()
    assert.ok(!done, "the native replica ended")
    return value
  }

  end() {
    this.#child.stdin.end()
  }
}

/** Numbers that look like chance, the same in every run. */
function* chance(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state >>> 8
  }
}

function edit(doc, numbers) {
  const next = () => numbers.next().value
  const [id, value] = [`note/${next() % 4}`, next() % 8]
  const edits = [
    () => doc.set(id, "title", `title ${value} é`),
    () => doc.set(id, { size: value / 3, done: value > 3, big: 2n ** 60n + BigInt(value) }),
    () => doc.assign(id, "names", value),
    () => doc.raise(id, "high", value),
    () => doc.lower(id, "low", value),
    () => doc.include(id, "seen", value),
    () => doc.add(id, "tags", value),
    () => doc.remove(id, "tags", value),
    () => doc.increment(id, "votes", value - 3),
    () => doc.pushText(id, "body", new Uint8Array([0, 0])),
    () => doc.create(id),
    () => doc.delete(id),
    () => doc.bury(id),
    () => doc.erase(id),
    () => doc.unset(id, "title"),
    () => doc.undo(doc.undoable(() => doc.set(id, "title", "not meant"))),
  ]
  edits[next() % edits.length]()
}

test("replicas in WASM and native ones come to the same bytes", { skip }, async () => {
  const native = new Native()
  const doc = new Doc({ replica: "11".repeat(16), now: () => 1_000 })
  const numbers = chance(1)
  for (let round = 0; round < 40; round++) {
    for (let at = 0; at < 25; at++) edit(doc, numbers)
    const theirs = (await native.ask(`write ${round} 25`)).split(" ").filter(Boolean)
    // Both wrote without knowing of each other; batches cross, and some twice.
    for (const batch of doc.takeBatches()) {
      assert.equal(await native.ask(`apply ${toHex(batch)}`), "ok")
      if (round % 3 === 0) await native.ask(`apply ${toHex(batch)}`)
    }
    for (const batch of theirs.reverse()) doc.apply(Buffer.from(batch, "hex"))
    assert.equal(await native.ask("snapshot"), toHex(doc.snapshot()), `round ${round}`)
  }
  const third = new Doc()
  third.merge(Buffer.from(await native.ask("snapshot"), "hex"))
  assert.deepEqual(third.snapshot(), doc.snapshot())
  native.end()
})
