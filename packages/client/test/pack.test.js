import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"

const ROOT = new URL("../../../", import.meta.url)
const PACKAGES = new URL("packages/", ROOT)

const run = (cwd, program, ...words) => {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd, encoding: "utf8" })
  assert.equal(status, 0, stderr)
  return stdout
}

/** What npm would publish, unpacked, in a folder that is gone afterwards. */
async function packed(name, look) {
  const folder = await mkdtemp(join(tmpdir(), "selvedge-pack-"))
  try {
    run(fileURLToPath(new URL(name, PACKAGES)), "npm", "pack", "--offline", "--loglevel=error", "--pack-destination", folder)
    const [archive] = await readdir(folder)
    run(folder, "tar", "-xzf", archive)
    await look(join(folder, "package"))
  } finally {
    await rm(folder, { recursive: true })
  }
}

const names = await readdir(PACKAGES)

test("there are packages to publish", () => assert.ok(names.includes("client") && names.includes("crdt")))

for (const name of names) {
  test(`what is published of ${name} has its licence, and what it says that it has`, async () => {
    const licence = await readFile(new URL("LICENSE", ROOT), "utf8")
    await packed(name, async folder => {
      assert.equal(await readFile(join(folder, "LICENSE"), "utf8"), licence)
      const { license, exports, bin = {} } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"))
      assert.equal(license, "Apache-2.0")
      const named = Object.values(exports).flatMap(entry => (typeof entry === "string" ? [entry] : Object.values(entry)))
      for (const file of [...named, ...Object.values(bin)]) assert.ok((await readFile(join(folder, file))).length > 0, file)
    })
  })
}
