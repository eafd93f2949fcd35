// Waiting that has an end: what does not come is said, and a test can be begun again before its time is up.

/** So long for one thing to come. */
export const WAIT_MS = 100_000
/** So long between one look and the next. */
const LOOK_MS = 20

const late = (what, ms) => new Error(`waited ${ms / 1000} s for ${what}`)

/** What a promise becomes, or an error that says what did not come. */
export async function inTime(promise, what, ms = WAIT_MS) {
  const error = late(what, ms)
  let timer
  const end = new Promise((_, reject) => (timer = setTimeout(() => reject(error), ms)))
  try {
    return await Promise.race([promise, end])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits in this process until a condition holds, which may be a promise. */
export async function eventually(condition, what) {
  const end = performance.now() + WAIT_MS
  while (!(await inTime(condition(), what))) {
    if (performance.now() > end) throw late(what, WAIT_MS)
    await pause(LOOK_MS)
  }
}

export const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
