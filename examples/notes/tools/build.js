// Builds the app: bundles, the files of `public`, the engine, the list of what the service worker keeps, and compressed siblings.
import { spawnSync } from "node:child_process"
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { basename, extname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import { build } from "esbuild"

const APP = fileURLToPath(new URL("../", import.meta.url))
const CLIENT = resolve(APP, "../../packages/client")
const CRDT = resolve(APP, "../../packages/crdt")
const COMPRESSED = new Set([".css", ".html", ".js", ".svg", ".wasm", ".webmanifest"])

const { values } = parseArgs({ options: { out: { type: "string" } } })
const out = resolve(values.out ?? join(APP, "dist"))

const shared = {
  bundle: true,
  minify: true,
  target: ["es2022"],
  legalComments: "none",
  logLevel: "warning",
  alias: {
    "@selvedge/client": join(CLIENT, "dist/index.js"),
    "@selvedge/client/inspector": join(CLIENT, "dist/inspector.js"),
    "@selvedge/client/flush": join(CLIENT, "dist/flush.js"),
    "@selvedge/client/text": join(CLIENT, "dist/text.js"),
    "@selvedge/client/worker": join(CLIENT, "dist/worker.js"),
    "@selvedge/crdt": join(CRDT, "dist/index.js"),
    "@selvedge/crdt/text": join(CRDT, "dist/text.js"),
    // One, though several packages use it.
    yjs: createRequire(import.meta.url)
      .resolve("yjs")
      .replace(/\.cjs$/, ".mjs"),
  },
}

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
await cp(join(APP, "public"), out, { recursive: true, filter: path => !path.endsWith(".css") })
await cp(join(CLIENT, "dist/engine_bg.wasm"), join(out, "engine_bg.wasm"))
await build({ ...shared, entryPoints: [join(APP, "public/app.css")], outfile: join(out, "app.css") })
const { metafile } = await build({
  ...shared,
  metafile: true,
  entryPoints: { app: join(APP, "src/main.ts"), "search-worker": join(APP, "src/search-worker.ts") },
  outdir: out,
  format: "esm",
  splitting: true,
  chunkNames: "parts/[name]-[hash]",
})
await preload(metafile.outputs)
const manifest = join(APP, "build/manifest.js")
await mkdir(join(APP, "build"), { recursive: true })
run(process.execPath, [join(CLIENT, "bin/precache.js"), out, "--out", manifest, "--skip", "sw.js"])
await build({
  ...shared,
  entryPoints: [join(APP, "src/sw.ts")],
  outfile: join(out, "sw.js"),
  format: "iife",
  // Where the engine is, is said.
  define: { "import.meta.url": "self.location.href" },
  plugins: [
    { name: "manifest", setup: ({ onResolve }) => onResolve({ filter: /^\.\/manifest\.js$/ }, () => ({ path: manifest })) },
  ],
})
for (const file of await readdir(out, { recursive: true })) {
  if (COMPRESSED.has(extname(file))) await compress(join(out, file))
}

/** Has the page ask at once for all parts that its program imports. */
async function preload(outputs) {
  const page = join(out, "index.html")
  const entry = Object.entries(outputs).find(([path]) => path.endsWith("/app.js"))
  const parts = entry[1].imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => `parts/${basename(path)}`)
  const links = parts.map(path => `<link rel="modulepreload" href="${path}">`)
  await writeFile(page, (await readFile(page, "utf8")).replace('<link rel="stylesheet"', `${links.join("\n")}\n$&`))
}

function run(program, args) {
  const { status } = spawnSync(program, args, { stdio: "inherit" })
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed`)
}

async function compress(path) {
  const bytes = await readFile(path)
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } }
  await writeFile(`${path}.gz`, gzipSync(bytes, { level: 9 }))
  await writeFile(`${path}.br`, brotliCompressSync(bytes, quality))
}
