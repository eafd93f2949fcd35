/**
 * Has something done again and again, but never twice at the same time. Who asks while it is under way waits for one that begins after that, as what is
 * under way may have passed over what has come since; all who ask meanwhile wait for the same one.
 */
export function inTurn(work: () => Promise<void>): () => Promise<void> {
  let last: Promise<unknown> = Promise.resolve()
  let next: Promise<void> | undefined
  const begin = () => {
    next = undefined
    return work()
  }
  return () => {
    if (!next) {
      next = last.then(begin)
      // One that fails is its own matter: those behind it come all the same.
      last = next.catch(() => undefined)
    }
    return next
  }
}
