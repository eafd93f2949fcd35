// Runs the cases in a folder with the packages, and prints a line for each: node suite.js FOLDER
const { copyFileSync, readFileSync, rmSync } = require("node:fs")
const { spawnSync } = require("node:child_process")
const { join } = require("node:path")

const folder = process.argv[2]
const results = join(folder, "results.json")
rmSync(results, { force: true })
copyFileSync(join(__dirname, "cases.test.js"), join(folder, "cases.test.js"))
// A long-poll of ours takes 20 s; the suite's runner gives a case 5 s unless told otherwise.
const vitest = ["run", "cases.test.js", "--testTimeout=60000", "--reporter=json", `--outputFile=${results}`]
spawnSync(join(folder, "node_modules/.bin/vitest"), vitest, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] })

const { version } = require(join(folder, "node_modules/@durable-streams/server-conformance-tests/package.json"))
console.log(JSON.stringify({ version: `@durable-streams/server-conformance-tests ${version}` }))
const OUTCOMES = { passed: "pass", failed: "fail" }
const SKIPPED = "subscriptions are not offered: the suite asks for them only on demand"
for (const file of JSON.parse(readFileSync(results, "utf8")).testResults) {
  for (const { fullName, status, failureMessages } of file.assertionResults) {
    const outcome = OUTCOMES[status] ?? "skip"
    const detail = outcome === "skip" ? SKIPPED : (failureMessages[0] ?? "").split("\n")[0]
    console.log(JSON.stringify({ case: fullName, outcome, detail }))
  }
}
