// Ours, from the folder that SELVEDGE_CRDT names: `packages/crdt`, built.
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

const home = process.env.SELVEDGE_CRDT ?? ""
const { Doc, init: start } = home ? await import(pathToFileURL(`${home}/dist/index.js`)) : {}

export const init = () => start(readFileSync(`${home}/dist/core_bg.wasm`))

const id = replica => new Uint8Array(16).fill(replica)

export function create(replica) {
  return new Doc({ replica: id(replica) })
}

export function build(doc, entities) {
  for (const { id, fields } of entities) doc.change(() => doc.set(id, fields))
  doc.takeBatches()
}

/** Sets in one transaction. */
export function write(doc, sets) {
  if (sets.length === 1) doc.set(...sets[0])
  else doc.change(() => sets.forEach(it => doc.set(...it)))
}

/** The same; returns what is to be sent. */
export function set(doc, sets) {
  write(doc, sets)
  return doc.takeBatches()[0]
}

export function get(doc, id, name) {
  return doc.get(id, name)
}

export function all(doc) {
  const entities = doc.toObject()
  return id => entities[id]
}

export function save(doc) {
  return doc.snapshot()
}

export function load(bytes, replica) {
  return Doc.load(bytes, { replica: id(replica) })
}

/** What was written since it was loaded. */
export function news(doc) {
  return doc.takeBatches()
}

export function merge(doc, batches) {
  for (const batch of batches) doc.apply(batch)
}

export const transaction = 1

export const bundle = { source: `export * from "${home}/dist/index.js"`, wasm: `${home}/dist/core_bg.wasm` }

/** For crdt-benchmarks' B3. */
export const b3 = {
  create: send => ({ doc: new Doc(), send }),
  set({ doc, send }, value) {
    doc.set("map", "v", value)
    doc.takeBatches().forEach(send)
  },
  apply: ({ doc }, updates) => updates.forEach(it => doc.apply(it)),
  get: ({ doc }) => doc.get("map", "v"),
  save: ({ doc }) => doc.snapshot(),
  load: bytes => ({ doc: Doc.load(bytes) }),
}
