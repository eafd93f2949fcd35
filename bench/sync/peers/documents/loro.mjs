// Loro: a map of maps, snapshots with history as its authors recommend.
import { LoroDoc, LoroMap } from "loro-crdt"

const NAMES = ["title", "done", "rank", "due", "tag"]

export async function init() {}

export function create(replica) {
  const loro = new LoroDoc()
  loro.setPeerId(replica)
  return { loro, map: loro.getMap("entities"), before: loro.version() }
}

export function build(doc, entities) {
  for (const { id, fields } of entities) {
    const entity = doc.map.setContainer(id, new LoroMap())
    for (const name of NAMES) entity.set(name, fields[name])
    doc.loro.commit()
  }
}

/** Sets in one transaction. */
export function write(doc, sets) {
  for (const [id, name, value] of sets) doc.map.get(id).set(name, value)
  doc.loro.commit()
}

/** The same; returns what is to be sent. */
export function set(doc, sets) {
  const before = doc.loro.version()
  write(doc, sets)
  return doc.loro.export({ mode: "update", from: before })
}

export function get(doc, id, name) {
  return doc.map.get(id).get(name)
}

export function all(doc) {
  const entities = doc.map.toJSON()
  return id => entities[id]
}

export function save(doc) {
  return doc.loro.export({ mode: "snapshot" })
}

export function load(bytes, replica) {
  const doc = create(replica)
  doc.loro.import(bytes)
  doc.before = doc.loro.version()
  return doc
}

/** What was written since it was loaded. */
export function news(doc) {
  return doc.loro.export({ mode: "update", from: doc.before })
}

export function merge(doc, update) {
  doc.loro.import(update)
}

export const transaction = 1

export const bundle = {
  source: `export * from "loro-crdt/web"`,
  wasm: "loro-crdt/web/loro_wasm_bg.wasm",
}

/** For crdt-benchmarks' B3. */
export const b3 = {
  create(send) {
    const doc = new LoroDoc()
    doc.subscribeLocalUpdates(send)
    return doc
  },
  set(doc, value) {
    doc.getMap("map").set("v", value)
    doc.commit()
  },
  apply: (doc, updates) => doc.importBatch(updates),
  get: doc => doc.getMap("map").get("v"),
  save: doc => doc.export({ mode: "snapshot" }),
  load(bytes) {
    const doc = new LoroDoc()
    doc.import(bytes)
    return doc
  },
}
