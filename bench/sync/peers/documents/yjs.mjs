// Yjs: a map of maps. Updates are of version 1, as its providers send them; states of version 2, which are smaller.
import * as Y from "yjs"

const NAMES = ["title", "done", "rank", "due", "tag"]

export async function init() {}

export function create(replica) {
  const ydoc = new Y.Doc()
  ydoc.clientID = replica
  return { ydoc, map: ydoc.getMap("entities"), before: Y.encodeStateVector(ydoc) }
}

export function build(doc, entities) {
  for (const { id, fields } of entities) {
    doc.ydoc.transact(() => {
      const entity = new Y.Map()
      doc.map.set(id, entity)
      for (const name of NAMES) entity.set(name, fields[name])
    })
  }
}

/** Sets in one transaction. */
export function write(doc, sets) {
  doc.ydoc.transact(() => sets.forEach(([id, name, value]) => doc.map.get(id).set(name, value)))
}

/** The same; returns what is to be sent. */
export function set(doc, sets) {
  let update
  const keep = bytes => (update = bytes)
  doc.ydoc.on("update", keep)
  write(doc, sets)
  doc.ydoc.off("update", keep)
  return update
}

export function get(doc, id, name) {
  return doc.map.get(id).get(name)
}

export function all(doc) {
  return id => {
    const entity = doc.map.get(id)
    return entity && Object.fromEntries(NAMES.map(name => [name, entity.get(name)]))
  }
}

export function save(doc) {
  return Y.encodeStateAsUpdateV2(doc.ydoc)
}

export function load(bytes, replica) {
  const doc = create(replica)
  Y.applyUpdateV2(doc.ydoc, bytes)
  doc.before = Y.encodeStateVector(doc.ydoc)
  return doc
}

/** What was written since it was loaded. */
export function news(doc) {
  return Y.encodeStateAsUpdate(doc.ydoc, doc.before)
}

export function merge(doc, update) {
  Y.applyUpdate(doc.ydoc, update)
}

/** Changes in a transaction of their own each, or this many at once. */
export const transaction = 1

export const bundle = { source: `export * from "yjs"`, wasm: undefined }

/** For crdt-benchmarks' B3. */
export const b3 = {
  create(send) {
    const doc = new Y.Doc()
    doc.on("updateV2", (update, origin) => origin !== "remote" && send(update))
    return doc
  },
  set: (doc, value) => doc.getMap("map").set("v", value),
  apply: (doc, updates) => doc.transact(() => updates.forEach(it => Y.applyUpdateV2(doc, it, "remote")), "remote"),
  get: doc => doc.getMap("map").get("v"),
  save: Y.encodeStateAsUpdateV2,
  load(bytes) {
    const doc = new Y.Doc()
    Y.applyUpdateV2(doc, bytes)
    return doc
  },
}
