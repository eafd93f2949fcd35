import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const TOOL = fileURLToPath(new URL("../bin/precache.js", import.meta.url))
const run = (...words) => promisify(execFile)(process.execPath, [TOOL, ...words])

async function inFolder(files, work) {
  const folder = await mkdtemp(join(tmpdir(), "precache-"))
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), text)
    }
    await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const FILES = {
  "index.html": "one",
  "index.html.br": "-",
  "app.js": "two",
  "app.js.map": "-",
  ".hidden/secret": "-",
  "notes/a b?.html": "three",
  "drafts/x.html": "-",
  "sw.js": "-",
}

test("what a browser asks for is listed with its hash, and each content has its version", () =>
  inFolder(FILES, async folder => {
    const manifest = async () => {
      await run(folder, "--skip", "drafts", "--skip", "sw.js")
      return (await import(`${join(folder, "precache.js")}?${Math.random()}`)).default
    }
    const first = await manifest()
    assert.deepEqual(
      first.files.map(([path]) => path),
      ["app.js", "index.html", "notes/a%20b%3F.html"],
    )
    assert.equal(first.files[1][1], createHash("sha256").update("one").digest("hex"))
    assert.deepEqual(await manifest(), first, "the list itself is not listed")
    await writeFile(join(folder, "app.js"), "four")
    assert.notEqual((await manifest()).version, first.version)
  }))

test("a call that makes no sense ends with 2 and says how it is done", async () => {
  for (const words of [[], ["a", "b"], ["/nowhere"], ["a", "--unknown"]]) {
    await assert.rejects(run(...words), ({ code, stderr }) => code === 2 && stderr.length > 0, words.join(" "))
  }
})
