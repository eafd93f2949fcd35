import assert from "node:assert/strict"
import { readdir, readFile } from "node:fs/promises"
import { posix } from "node:path"
import { test } from "node:test"

const DIST = new URL("../dist/", import.meta.url)

/** What each module of the package imports of it, also late. */
async function imports() {
  const names = (await readdir(DIST, { recursive: true })).filter(name => name.endsWith(".js"))
  const read = async name => {
    const text = await readFile(new URL(name, DIST), "utf8")
    const paths = [...text.matchAll(/(?:from |import\()"(\.[^"]+)"/g)].map(([, path]) => path)
    return [name, paths.map(path => posix.join(posix.dirname(name), path))]
  }
  return new Map(await Promise.all(names.map(read)))
}

/** The way from a module back to itself, if there is one. */
function wayBack(graph, name, way = [], done = new Set()) {
  if (way.includes(name)) return [...way.slice(way.indexOf(name)), name]
  if (done.has(name)) return undefined
  for (const next of graph.get(name) ?? []) {
    const found = wayBack(graph, next, [...way, name], done)
    if (found) return found
  }
  done.add(name)
  return undefined
}

test("no module imports itself by way of others", async () => {
  assert.deepEqual(wayBack(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]]), "a"), ["b", "c", "b"]) // prettier-ignore
  const graph = await imports()
  assert.ok(graph.size > 30 && graph.get("keeper.js").includes("keeper/term.js"))
  for (const name of graph.keys()) assert.equal(wayBack(graph, name)?.join(" "), undefined)
})
