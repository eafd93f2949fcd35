// What stalls on a machine that others use too is tried once more in CI, and told; at home it fails at once.
import { inspect } from "node:util"
import { inTime } from "./waits.js"

const AGAIN = process.env.CI ? 1 : 0

/** So long for a test's attempt; what waits for one thing gives up before. */
const ATTEMPT_MS = 180_000
/** So long for a profile to be closed, and then for what stalled in it to fail. */
const CLOSED_MS = 20_000

/** A test may take so long: two attempts, and what is before and after them. */
export const LIMIT = { timeout: 420_000 }

/** Runs a test's `attempt`; `t` is told of one that failed and is begun afresh. */
export async function withTries(t, attempt, again = AGAIN) {
  for (let left = again; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (left === 0) throw error
      t.diagnostic(`FLAKY, tried again: ${t.name}: ${inspect(error)}`)
    }
  }
}

/**
 * Does the work of an attempt, and closes the profiles that it has by then. Work that stalls fails when its pages are gone, and so says where it stood.
 */
export async function inProfiles(contexts, work, ms = ATTEMPT_MS) {
  const done = work()
  const close = () => Promise.allSettled(contexts().map(context => inTime(context.close(), "a profile to be closed", CLOSED_MS)))
  try {
    await inTime(done, "the end of the test", ms)
  } catch (error) {
    await close()
    const where = await inTime(done, "it to fail", CLOSED_MS).catch(reason => reason)
    if (where !== error) error.cause = where
    throw error
  } finally {
    await close()
  }
}
