import assert from "node:assert/strict"
import { test } from "node:test"
import { inProfiles, withTries } from "./tries.js"

test("an attempt that stalls is ended, says where it stood, and is made once more", async t => {
  let attempts = 0
  const told = []
  const attempt = () => {
    attempts++
    let gone = () => undefined
    const context = { isClosed: false, close: async () => ((context.isClosed = true), gone(new Error("the third line"))) }
    const stall = () => new Promise((_, reject) => (gone = reject))
    const work = async () => attempts === 1 && (await stall())
    return inProfiles(() => [context], work, 10).finally(() => assert.ok(context.isClosed))
  }
  await withTries({ name: t.name, diagnostic: text => told.push(text) }, attempt, 1)
  assert.equal(attempts, 2)
  assert.match(told.join(), /^FLAKY, tried again: an attempt that stalls.*the end of the test.*the third line/s)
})

test("what fails is what it is, also where nothing can be closed, and is not tried for ever", async () => {
  const context = { close: () => Promise.reject(new Error("the browser is gone")) }
  const fail = () =>
    inProfiles(
      () => [context],
      () => Promise.reject(new Error("one is not two")),
    )
  await assert.rejects(withTries({ diagnostic: () => undefined }, fail, 1), /one is not two/)
})
