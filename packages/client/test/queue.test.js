import assert from "node:assert/strict"
import { test } from "node:test"
import { Queue } from "../dist/store/queue.js"

const append = (replica, byte) => ({ replicas: { [replica]: [{ append: new Uint8Array([byte]) }] } })
const outcome = promise =>
  promise.then(
    () => "stored",
    error => error.message,
  )

test("what waits behind a hole is refused before the replica is read anew", async () => {
  const [written, refuse] = [[], new Set([1])]
  const queue = new Queue(async ({ replicas }) => {
    const bytes = Object.values(replicas).flatMap(changes => changes.map(({ append }) => append[0]))
    await new Promise(resolve => setTimeout(resolve, 5))
    if (bytes.some(byte => refuse.has(byte))) throw new Error("full")
    written.push(...bytes)
  })
  const saves = [append("b", 0), append("a", 1), append("b", 2), append("a", 3)].map(transaction => queue.push(transaction))
  const again = saves[1].catch(() => queue.mend("a")).then(() => queue.push(append("a", 4)))
  assert.deepEqual(await Promise.all(saves.map(outcome)), ["stored", "full", "stored", "full"])
  assert.equal(await outcome(again), "stored")
  assert.deepEqual(written, [0, 2, 4])
})
