import assert from "node:assert/strict"
import { test } from "node:test"
import { eventually, inTime } from "./waits.js"

test("what does not come is said, with who waited for it", async () => {
  const waiting = inTime(new Promise(() => undefined), "the rain", 10)
  await assert.rejects(waiting, error => /waited 0.01 s for the rain/.test(error.message) && /waits\.test\.js/.test(error.stack))
})

test("what comes is what it is, and nothing is left that waits", async () => {
  assert.equal(await inTime(Promise.resolve("rain"), "the rain"), "rain")
  await assert.rejects(inTime(Promise.reject(new Error("drought")), "the rain"), /drought/)
  assert.deepEqual(
    process.getActiveResourcesInfo().filter(name => name === "Timeout"),
    [],
  )
})

test("a condition is asked until it holds", async () => {
  let asked = 0
  await eventually(() => ++asked === 3, "the third time")
  await eventually(async () => ++asked === 6, "the sixth time")
  assert.equal(asked, 6)
})
