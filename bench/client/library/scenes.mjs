// Libraries without an app: the same page, the same notes, the same changes.
import { mkdtemp, rm } from "node:fs/promises"
import { join } from "node:path"
import { demand } from "../app/person.mjs"
import { inBrowser, now } from "../browser.mjs"
import { notes } from "../notes.mjs"
import { buildPage, serve } from "./site.mjs"

/** Notes of the document whose titles are changed. */
const PREFIX = "Renamed"
const SAYS_NOTHING = /./

/** Opens a store of so many notes, in a browser that was not running. */
export function libraryOpen({ library, program, folder, count }) {
  return withPage({ library, program, folder }, async ({ origin, profile }) => {
    const all = [...notes(count)]
    const characters = all.reduce((sum, { body }) => sum + body.length, 0)
    await inBrowser(profile("one"), {}, async ({ page }) => {
      await page.goto(origin)
      await page.evaluate(() => globalThis.page.open())
      await page.evaluate(all => globalThis.page.library.fill(all), all)
    })
    return inBrowser(profile("one"), {}, async ({ page }) => {
      await page.addInitScript(`addEventListener("DOMContentLoaded", () => (globalThis.opened = globalThis.page.open()))`)
      await page.goto(origin)
      const found = await page.evaluate(() => globalThis.opened)
      demand(found.notes === count, `${found.notes} of ${count} notes were opened`)
      demand(found.characters === characters, `${found.characters} of ${characters} characters were opened`)
      return { titles_ms: found.titles_ms, texts_ms: found.texts_ms }
    })
  })
}

/** Changes that were made without a connection, each by itself, come to another browser. */
export function libraryReconnect({ library, program, folder, operations }) {
  return withPage({ library, program, folder }, ({ origin, profile, settings }) =>
    inBrowser(profile("ann"), { mayHear: SAYS_NOTHING }, ({ page: ann }) =>
      inBrowser(profile("ben"), { mayHear: SAYS_NOTHING }, async ({ page: ben }) => {
        const open = (page, more) => page.evaluate(settings => globalThis.page.open(settings), { ...settings, ...more })
        await ann.goto(origin)
        await open(ann)
        await ann.evaluate(all => globalThis.page.library.fill(all), [...notes(operations)])
        await ann.evaluate(() => globalThis.page.library.synced())
        const link = library === "selvedge" ? await ann.evaluate(() => globalThis.page.library.invite()) : undefined
        await ben.goto(origin)
        const { notes: arrived } = await open(ben, { link })
        demand(arrived === operations, `${arrived} of ${operations} notes came before anything was changed`)
        return apart(ann, ben, operations)
      }),
    ),
  )
}

async function apart(ann, ben, operations) {
  await ben.evaluate(prefix => globalThis.page.watch(prefix), PREFIX)
  await ann.evaluate(() => globalThis.page.library.leave())
  await ann.evaluate(([prefix, count]) => globalThis.page.rename(prefix, count), [PREFIX, operations])
  demand((await ben.locator("p").textContent()) === "0 renamed", "something arrived without a connection")
  const isThere = `() => document.querySelector("p").textContent === "${operations} renamed"`
  await ben.evaluate(`void (globalThis.arrived = bench.seenAt(${isThere}))`)
  const from = now()
  await ann.evaluate(() => globalThis.page.library.comeBack())
  const at = await ben.evaluate(() => globalThis.arrived)
  const titles = await ben.evaluate(() => globalThis.page.library.titles())
  const wanted = new Set(Array.from({ length: operations }, (_, at) => `${PREFIX} ${at}`))
  demand(titles.every(title => wanted.delete(title)) && wanted.size === 0, "a title is another than was written")
  return { ms: at - from }
}

/** Serves the page of a library from a place that is thrown away. */
async function withPage({ library, program, folder }, play) {
  const place = await mkdtemp(join(folder, `${library}-`))
  try {
    const site = join(place, "site")
    await buildPage(library, site)
    const { origin, settings, stop } = await serve(library, { program, site, folder: join(place, "relay") })
    try {
      return await play({ origin, settings, profile: name => join(place, name) })
    } finally {
      await stop()
    }
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}
