import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"

const GUIDE = new URL("../../../docs/guide/documents.md", import.meta.url)

/** The TypeScript of the guide as one module in which what a line is said to be is checked. */
function module() {
  const blocks = [...readFileSync(GUIDE, "utf8").matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code)
  assert.ok(blocks.length >= 4)
  const lines = blocks.join("\n").split("\n")
  const imports = lines.filter(line => line.startsWith("import "))
  const rest = lines.filter(line => !line.startsWith("import ")).map(line => {
    const [, expression, value] = /^(\w+\.\w.*\)(?:\.length)?) \/\/ (["[{\d].*|true|false)$/.exec(line) ?? []
    return expression ? `assert.deepEqual(${expression}, ${value}); checked++` : line
  })
  return { imports, rest }
}

test("the examples of the guide say what is so", async () => {
  const { imports, rest } = module()
  const own = name => new URL(`../dist/${name}.js`, import.meta.url).href
  const known = imports.map(line => line.replace('"@selvedge/crdt"', `"${own("index")}"`).replace('"@selvedge/crdt/text"', `"${own("text")}"`))
  const code = [...known, 'import assert from "node:assert/strict"', "export let checked = 0", ...rest].join("\n")
  const { checked } = await import(`data:text/javascript,${encodeURIComponent(code)}`)
  assert.ok(checked >= 8, `${checked} lines`)
})
