#!/usr/bin/env node
// Lists the files of a site with their hashes, for the service worker that keeps them.
import { createHash } from "node:crypto"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join, relative, resolve, sep } from "node:path"
import { parseArgs } from "node:util"

const USAGE = `usage: selvedge-precache FOLDER [--out FILE] [--skip PATH]...

Writes a module with a hash of each file in FOLDER, to FOLDER/precache.js unless --out says otherwise. The worker is to lie in FOLDER.
What --skip names, a file or a folder in FOLDER, is not listed; neither are hidden files, source maps and compressed siblings.`

/** What no browser asks for by its name. */
const NEVER = /(^|\/)\.|\.(map|br|gz|zst)$/

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: "string" }, skip: { type: "string", multiple: true }, help: { type: "boolean" } },
  })
  if (values.help) return console.log(USAGE)
  const [folder] = positionals
  if (positionals.length !== 1) throw new Error(USAGE)
  const out = resolve(values.out ?? join(folder, "precache.js"))
  const skipped = [out, ...(values.skip ?? []).map(path => resolve(folder, path))]
  const manifest = await list(resolve(folder), skipped)
  await writeFile(out, `export default ${JSON.stringify(manifest)}\n`)
  console.log(`${manifest.files.length} files, version ${manifest.version}`)
}

async function list(folder, skipped) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath ?? entry.path, entry.name))
  const isListed = path => !skipped.some(skip => path === skip || path.startsWith(skip + sep))
  const names = paths.filter(isListed).map(path => relative(folder, path).split(sep).join("/"))
  const files = []
  for (const name of names.filter(name => !NEVER.test(name)).sort()) {
    files.push([urlPath(name), hash(await readFile(join(folder, name)))])
  }
  return { version: hash(JSON.stringify(files)).slice(0, 16), files }
}

/** A name as a browser asks for it. */
const urlPath = name => name.split("/").map(encodeURIComponent).join("/")

const hash = bytes => createHash("sha256").update(bytes).digest("hex")

main().catch(error => {
  console.error(error.message)
  process.exitCode = 2
})
