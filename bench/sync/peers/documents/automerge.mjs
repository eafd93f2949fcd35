// Automerge: an object of objects. Texts are of the kind that is replaced as a whole, as in all other libraries here.
import * as A from "@automerge/automerge"

const text = value => (typeof value === "string" ? new A.ImmutableString(value) : value)

export async function init() {}

const actor = replica => String(replica).padStart(32, "0")

export function create(replica) {
  return { doc: A.from({ entities: {} }, { actor: actor(replica) }), heads: [] }
}

/** In one change: each copies the object of all entities, and ten thousand would take minutes. */
export function build(held, entities) {
  held.doc = A.change(held.doc, doc => {
    for (const { id, fields } of entities) {
      const { title, done, rank, due, tag } = fields
      doc.entities[id] = { title: text(title), done, rank, due, tag: text(tag) }
    }
  })
}

/** Sets in one transaction. */
export function write(held, sets) {
  held.doc = A.change(held.doc, doc => {
    for (const [id, name, value] of sets) doc.entities[id][name] = text(value)
  })
}

/** The same; returns what is to be sent. */
export function set(held, sets) {
  write(held, sets)
  return A.getLastLocalChange(held.doc)
}

export function get(held, id, name) {
  const value = held.doc.entities[id][name]
  return value instanceof A.ImmutableString ? value.val : value
}

export function all(held) {
  return id => held.doc.entities[id]
}

export function save(held) {
  return A.save(held.doc)
}

export function load(bytes, replica) {
  const doc = A.load(bytes, { actor: actor(replica) })
  return { doc, heads: A.getHeads(doc) }
}

/** What was written since it was loaded. */
export function news(held) {
  return A.saveSince(held.doc, held.heads)
}

export function merge(held, update) {
  held.doc = A.loadIncremental(held.doc, update)
}

/** One by one, a thousand changes would take ten seconds. */
export const transaction = 100

export const bundle = {
  source: `export * from "@automerge/automerge/slim"`,
  wasm: "@automerge/automerge/automerge.wasm",
}

const EMPTY = A.save(A.from({ map: {} }))

/** For crdt-benchmarks' B3. */
export const b3 = {
  create: send => ({ doc: A.load(EMPTY), send }),
  set(held, value) {
    held.doc = A.change(held.doc, doc => (doc.map.v = text(value)))
    held.send(A.getLastLocalChange(held.doc))
  },
  apply: (held, updates) => ([held.doc] = A.applyChanges(held.doc, updates)),
  get: held => (held.doc.map.v instanceof A.ImmutableString ? held.doc.map.v.val : held.doc.map.v),
  save: held => A.save(held.doc),
  load: bytes => ({ doc: A.load(bytes) }),
}
