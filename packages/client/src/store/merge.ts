import type { Change, Transaction } from "../store.js"

/**
 * Several transactions as one, with bytes of its own: the caller's may change while they wait, or be a small part of a large buffer,
 * all of which a browser would store.
 */
export function merge(transactions: readonly Transaction[]): Transaction {
  const replicas: Record<string, Change[] | undefined> = Object.create(null)
  const meta: Record<string, unknown> = Object.create(null)
  for (const transaction of transactions) {
    for (const [replica, changes] of Object.entries(transaction.replicas ?? {})) {
      replicas[replica] = changes && [...earlier(replicas, replica), ...changes.map(copy)]
    }
    Object.assign(meta, transaction.meta)
  }
  return { replicas, meta }
}

/** What is to happen to a replica already. One that is forgotten begins with nothing. */
function earlier(replicas: Readonly<Record<string, Change[] | undefined>>, replica: string): readonly Change[] {
  return replicas[replica] ?? (replica in replicas ? [{ begin: new Uint8Array() }] : [])
}

function copy(change: Change): Change {
  return "begin" in change ? { begin: change.begin.slice() } : { append: change.append.slice() }
}

/** What changes come to: the last beginning, if there is one, and what was appended since. */
export function outcome(changes: readonly Change[]): { begin: Uint8Array | undefined; appended: Uint8Array[] } {
  let begin: Uint8Array | undefined
  let appended: Uint8Array[] = []
  for (const change of changes) {
    if ("append" in change) appended.push(change.append)
    else [begin, appended] = [change.begin, []]
  }
  return { begin, appended }
}
