// `node --expose-gc main.mjs LIBRARY PART '{…}'` measures one part of one library, checks that the work was done, and
// prints one line of JSON.
import { readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { isAbsolute } from "node:path"
import { gzipSync } from "node:zlib"

import { check, entity, idOf, placeOf, titleAfter } from "./shape.mjs"

const [name, part, order] = process.argv.slice(2)
const library = await import(`./${name}.mjs`)
const { entities: count, sets, batch, diverging, clients, file } = JSON.parse(order)

/** What `work` comes to, and how long it took in milliseconds. */
function timed(work) {
  globalThis.gc()
  const begin = performance.now()
  const result = work()
  return [performance.now() - begin, result]
}

function expect(found, wanted, what) {
  if (found !== wanted) throw new Error(`${what} is ${found} and not ${wanted}`)
}

const PARTS = {
  work() {
    // Code that has just begun to run is not compiled as it will be.
    measure({ count: count / 5, sets: Math.min(sets, 500), batch, diverging: diverging / 5 })
    return measure({ count, sets, batch, diverging, file })
  },
  memory,
  b3: () => ({ ...concurrent("b3_1", client => client), ...concurrent("b3_3", client => String(client).repeat(clients)) }),
  bundle,
}

function measure({ count, sets, batch, diverging, file }) {
  const entities = Array.from({ length: count }, (_, number) => entity(number))
  const known = new Map(entities.map(entity => [entity.id, entity]))
  const changes = (many, title) => Array.from({ length: many }, (_, nth) => [idOf(placeOf(nth, count)), "title", title(nth)])
  const doc = library.create(1)
  const [build] = timed(() => library.build(doc, entities))
  check(library.all(doc), entities)

  const singles = changes(sets, titleAfter)
  let setBytes = 0
  const [set] = timed(() => {
    for (const change of singles) setBytes += library.set(doc, [change]).length
  })
  const together = changes(batch, nth => `Changed together as number ${nth}`)
  const batchBytes = library.set(doc, together).length
  for (const [id, , title] of [...singles, ...together]) known.get(id).fields.title = title
  check(library.all(doc), entities)

  const [save, saved] = timed(() => library.save(doc))
  if (file) writeFileSync(file, saved)
  let first
  const [load] = timed(() => {
    const begin = performance.now()
    const loaded = library.load(saved, 4)
    expect(library.get(loaded, entities[0].id, "title"), entities[0].fields.title, "the first title")
    first = performance.now() - begin
    check(library.all(loaded), entities)
  })
  return {
    build_ms: build,
    set_us: (set * 1000) / sets,
    set_bytes: setBytes / sets,
    batch_bytes: batchBytes / batch,
    save_ms: save,
    size_bytes: saved.length,
    gz_bytes: gzipSync(saved, { level: 9 }).length,
    first_ms: first,
    load_ms: load,
    merge_ms: merge(saved, count, diverging),
  }
}

/** Two replicas that have gone apart get each other's changes. */
function merge(saved, count, diverging) {
  const sides = [2, 3].map(side => {
    const doc = library.load(saved, side)
    const writes = Array.from({ length: diverging }, (_, nth) => [idOf((nth * 7) % count), "title", `side ${side} change ${nth}`])
    while (writes.length > 0) library.write(doc, writes.splice(0, library.transaction))
    return doc
  })
  const [one, other] = sides
  const [time] = timed(() => {
    const [ofOne, ofOther] = [library.news(one), library.news(other)]
    library.merge(other, ofOne)
    library.merge(one, ofOther)
  })
  const [left, right] = sides.map(library.all)
  for (let number = 0; number < count; number++) {
    expect(JSON.stringify(left(idOf(number))), JSON.stringify(right(idOf(number))), idOf(number))
  }
  if (!/^side [23] change 0$/.test(library.get(one, idOf(0), "title"))) throw new Error("nothing was merged")
  return time
}

function memory() {
  const bytes = readFileSync(file)
  const resident = () => {
    globalThis.gc()
    return process.memoryUsage().rss
  }
  library.create(9)
  const before = resident()
  const doc = library.load(bytes, 4)
  let read = 0
  const found = library.all(doc)
  for (let number = 0; number < count; number++) if (found(idOf(number))) read++
  expect(read, count, "the number of entities")
  const grown = resident() - before
  expect(typeof library.get(doc, idOf(0), "done"), "boolean", "a field")
  return { memory_mib: grown / 2 ** 20 }
}

/** crdt-benchmarks' B3.1 and B3.3: many clients set the same key of a map and know nothing of each other. */
function concurrent(label, value) {
  const { b3 } = library
  const updates = []
  const docs = Array.from({ length: clients }, () => b3.create(update => updates.push(update)))
  docs.forEach((doc, client) => b3.set(doc, value(client)))
  if (updates.length < clients) throw new Error(`${updates.length} updates of ${clients} clients`)
  const [reference, replica] = docs
  b3.apply(reference, updates)
  const [time] = timed(() => b3.apply(replica, updates))
  const [encode, bytes] = timed(() => b3.save(reference))
  const [parse, loaded] = timed(() => b3.load(bytes))
  const winner = b3.get(reference)
  if (winner === undefined) throw new Error("nobody has won")
  expect(b3.get(replica), winner, "a replica's winner")
  expect(b3.get(loaded), winner, "the winner after loading")
  const update = updates.reduce((sum, update) => sum + update.length, 0)
  return Object.fromEntries(
    Object.entries({ ms: time, encode_ms: encode, parse_ms: parse, update_bytes: update, doc_bytes: bytes.length }).map(
      ([figure, found]) => [`${label}_${figure}`, found],
    ),
  )
}

/** What a page loads: the library bundled and minified, and its WASM. */
async function bundle() {
  const { build } = await import("esbuild")
  const { source, wasm } = library.bundle
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname },
    bundle: true,
    format: "esm",
    minify: true,
    write: false,
    platform: "browser",
    logLevel: "error",
  })
  const path = wasm && (isAbsolute(wasm) ? wasm : createRequire(import.meta.url).resolve(wasm))
  const parts = [outputFiles[0].contents, ...(path ? [readFileSync(path)] : [])]
  return { bundle_bytes: parts.reduce((sum, bytes) => sum + gzipSync(bytes, { level: 9 }).length, 0) }
}

await library.init()
console.log(JSON.stringify(await PARTS[part]()))
