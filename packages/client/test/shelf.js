// A store in memory that outlives the workspaces that use it, writes down what is saved, and can be held up.
import { openStore } from "../dist/index.js"

export async function shelf() {
  const memory = await openStore("shelf")
  let last = Promise.resolve()
  const store = {
    isVolatile: false,
    found: "kept",
    /** What was saved, in order. */
    saved: [],
    /** What saving, and loading of a replica, waits for. */
    gate: Promise.resolve(),
    gates: new Map(),
    claim: async () => undefined,
    save(transaction) {
      store.saved.push(transaction)
      const { gate } = store
      const saving = last.then(() => gate).then(() => memory.save(transaction))
      last = saving.catch(() => undefined)
      return saving
    },
    async load(replica) {
      await store.gates.get(replica)
      return memory.load(replica)
    },
    list: () => memory.list(),
    meta: key => memory.meta(key),
    metaKeys: prefix => memory.metaKeys(prefix),
    close: () => undefined,
  }
  return store
}

/** Something to wait for, and what ends that. */
export function gate() {
  let open
  const promise = new Promise(resolve => (open = resolve))
  return { promise, open }
}
