import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { test } from "node:test"
import { fileURLToPath } from "node:url"

const PACKAGE = new URL("../", import.meta.url)
const GUIDE = new URL("../../docs/guide/browser.md", PACKAGE)

test("what the guide shows is code that the compiler takes", async () => {
  const blocks = [...(await readFile(GUIDE, "utf8")).matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code)
  assert.ok(blocks.length > 3)
  const folder = new URL("dist/guide/", PACKAGE)
  await mkdir(folder, { recursive: true })
  try {
    await writeFile(new URL("precache.d.ts", folder), `declare const m: import("../worker.js").Manifest\nexport default m\n`)
    for (const [at, code] of blocks.entries()) await writeFile(new URL(`${at}.ts`, folder), code)
    for (const lib of ["dom", "webworker"]) {
      const isWorker = code => code.startsWith("// worker")
      const names = blocks.flatMap((code, at) => (isWorker(code) === (lib === "webworker") ? [`dist/guide/${at}.ts`] : []))
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
