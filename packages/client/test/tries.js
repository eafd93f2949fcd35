// What stalls on a machine that others use too is tried once more in CI, and told; at home it fails at once.
const AGAIN = process.env.CI ? 1 : 0

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
