// In every page before anything else of it: says when something is seen, and how long it took. Runs in pages alone.
globalThis.bench = (() => {
  /** When the next frame is painted, as far as a page can know: the first task behind it. */
  const painted = () =>
    new Promise(resolve => {
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel()
        port1.onmessage = () => resolve(performance.now())
        port2.postMessage(undefined)
      })
    })

  /** Whatever is looked for is there by then, or is not there. */
  const PATIENCE_MS = 120_000

  /** When that is painted which `look` finds. It is looked for whenever something of the page changed. */
  const seen = look =>
    new Promise((resolve, reject) => {
      const check = () => {
        if (!look()) return false
        observer.disconnect()
        clearTimeout(timer)
        resolve(painted())
        return true
      }
      const observer = new MutationObserver(check)
      const timer = setTimeout(() => reject(new Error(`nothing is seen of ${look}`)), PATIENCE_MS)
      if (!check()) observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true })
    })

  /** The same as a moment that other pages know, in milliseconds since 1970. */
  const seenAt = async look => performance.timeOrigin + (await seen(look))

  /** Tasks of more than 50 ms from now on, until what is returned is called, which returns how long each was. */
  const longTasks = () => {
    const tasks = []
    const take = entries => tasks.push(...entries.map(({ duration }) => duration))
    const observer = new PerformanceObserver(list => take(list.getEntries()))
    observer.observe({ type: "longtask" })
    return () => {
      take(observer.takeRecords())
      observer.disconnect()
      return tasks
    }
  }

  return { painted, seen, seenAt, longTasks }
})()
