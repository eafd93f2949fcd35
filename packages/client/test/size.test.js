import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { test } from "node:test"
import { gzipSync } from "node:zlib"

/** What an application loads for an entry, compressed, before anything makes it smaller. */
const BYTES_MAX = { "index.js": 45_000, "worker.js": 12_000, "inspector.js": 13_000 }

/** A module and all that it imports. */
async function modules(url, found = new Map()) {
  if (found.has(url.href)) return found
  const text = await readFile(url, "utf8")
  found.set(url.href, text)
  for (const [, path] of text.matchAll(/from "(\.[^"]+)"/g)) await modules(new URL(path, url), found)
  return found
}

for (const [entry, max] of Object.entries(BYTES_MAX)) {
  test(`${entry} has at most ${max} bytes`, async () => {
    const found = await modules(new URL(`../dist/${entry}`, import.meta.url))
    const bytes = gzipSync([...found.values()].join("\n")).length
    assert.ok(found.size > 3 && bytes <= max, `${bytes} bytes in ${found.size} modules`)
    console.log(`${entry}: ${bytes} bytes compressed`)
  })
}
