import { inTime } from "./waits.js"

// What stalls on a machine that others use too is tried once more in CI, and told; at home it fails at once.
const AGAIN = process.env.CI ? 1 : 0

/** So long for a test's attempt; what waits for one thing gives up before. */
const ATTEMPT_MS = 180_000

/** A test may take so long: two attempts, and what is before and after them. */
export const LIMIT = { timeout: 420_000 }

/** Runs a test's `attempt`; `t` is told of one that failed and is begun afresh. */
export async function withTries(t, attempt) {
  for (let left = AGAIN; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (left === 0) throw error
      t.diagnostic(`FLAKY, tried again: ${t.name}: ${error.stack ?? error}`)
    }
  }
}

/** What an attempt does between what is set up for it and what takes that down, which comes also when it stalls. */
export const attempted = work => inTime(work, "the end of the test", ATTEMPT_MS)
