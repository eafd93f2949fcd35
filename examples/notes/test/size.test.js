import assert from "node:assert/strict"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "node:test"
import { brotliCompressSync, gzipSync } from "node:zlib"
import { DIST } from "./built.js"

/** What a first visit loads: the page, its styles, the program and what that imports, the worker that searches, the engine. */
async function firstLoad() {
  const names = new Set(["index.html", "app.css", "app.js", "search-worker.js", "engine_bg.wasm"])
  for (const name of names) {
    if (!name.endsWith(".js")) continue
    const text = await readFile(join(DIST, name), "utf8")
    for (const [, path] of text.matchAll(/(?:from|^import|;import)"\.\/([^"]+\.js)"/g)) names.add(join(name, "..", path))
  }
  return [...names]
}

test("the first visit loads little", async () => {
  const sizes = await Promise.all(
    (await firstLoad()).map(async name => {
      const bytes = await readFile(join(DIST, name))
      return { name, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes).length }
    }),
  )
  const sum = (way, of = () => true) => sizes.filter(({ name }) => of(name)).reduce((all, size) => all + size[way], 0)
  const [gzip, brotli, engine] = [sum("gzip"), sum("brotli"), sum("gzip", name => name.endsWith(".wasm"))]
  console.log(`first visit: ${gzip} bytes as gzip (engine ${engine}), ${brotli} as Brotli, in ${sizes.length} files`)
  assert.ok(sizes.length > 5)
  assert.ok(gzip - engine <= 110_500, "what is not the engine")
  assert.ok(gzip <= 300_000, "all of it")
  // The inspector is there, and not among it.
  const isInspector = async name => (await readFile(join(DIST, name), "utf8")).includes("Search operations")
  const parts = (await readdir(join(DIST, "parts"))).filter(name => name.endsWith(".js")).map(name => `parts/${name}`)
  const inspectors = (await Promise.all(parts.map(isInspector))).flatMap((isIt, at) => (isIt ? [parts[at]] : []))
  assert.equal(inspectors.length, 1)
  assert.ok(!sizes.some(({ name }) => inspectors.includes(name)))
})
