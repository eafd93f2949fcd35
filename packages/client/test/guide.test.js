import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { test } from "node:test"
import { fileURLToPath } from "node:url"

const PACKAGE = new URL("../", import.meta.url)
const GUIDE = new URL("../../docs/guide/browser.md", PACKAGE)

test("what the guide shows is code that the compiler takes", async () => {
  const blocks = [...(await readFile(GUIDE, "utf8")).matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code)
  assert.ok(blocks.length > 3)
  // In the package, which knows itself by its name; not among what is built, which other tests copy meanwhile.
  const folder = await mkdtemp(fileURLToPath(new URL(".guide-", PACKAGE)))
  try {
    const manifest = `declare const m: import("@selvedge/client/worker").Manifest\nexport default m\n`
    await writeFile(join(folder, "precache.d.ts"), manifest)
    for (const [at, code] of blocks.entries()) await writeFile(join(folder, `${at}.ts`), code)
    for (const lib of ["dom", "webworker"]) {
      const isWorker = code => code.startsWith("// worker")
      const names = blocks.flatMap((code, at) =>
        isWorker(code) === (lib === "webworker") ? [`${basename(folder)}/${at}.ts`] : [],
      )
      compile(lib, names)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

function compile(lib, names) {
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "", "--lib", `es2023,${lib}`]
  const tsc = fileURLToPath(new URL("node_modules/.bin/tsc", PACKAGE))
  const { status, stdout } = spawnSync(tsc, ["--ignoreConfig", ...options, ...names], { cwd: PACKAGE, encoding: "utf8" })
  assert.equal(status, 0, stdout)
}
