// Somebody comes for the first time, and on another day without a network.
import { mkdtemp, rm } from "node:fs/promises"
import { join } from "node:path"
import { closeBrowser, inBrowser, openBrowser, Wire } from "../browser.mjs"
import { withRelay } from "../relay.mjs"
import { counted, demand, found, installed, OFFLINE, settled } from "./person.mjs"

/** What is seen first: a person can name the vault and go on. */
const WELCOME = () => document.querySelector("dialog[open] form button.main") && document.activeElement?.matches("dialog input")
/** The notes that a vault begins with. */
const NOTES = 3

export function firstVisit({ program, site, folder }) {
  return withRelay({ program, site, folder: join(folder, "first") }, async relay => {
    const timed = await fresh(folder, profile => comeAndStay(profile, relay.origin))
    return { ...timed, gzip: await fresh(folder, profile => comeWithGzip(profile, relay)) }
  })
}

/** Plays with a profile that nobody had, and throws it away. */
async function fresh(folder, play) {
  const profile = await mkdtemp(join(folder, "profile-"))
  try {
    return await play(profile)
  } finally {
    await rm(profile, { recursive: true, force: true })
  }
}

async function comeAndStay(profile, origin) {
  const browser = await openBrowser(profile, { mayHear: OFFLINE })
  const { context, page } = browser
  try {
    const wire = new Wire(context)
    const ms = await visit(page, origin)
    const own = await wire.sum({ ofWorker: false })
    await found(page, { name: "Diary", examples: true })
    await installed(page)
    await settled(page)
    const kept = await wire.sum({ ofWorker: true })
    return { first: { ms, ...own, kept_bytes: kept.bytes }, reload: await reloadOffline(context, page, wire) }
  } finally {
    await closeBrowser(browser)
  }
}

async function visit(page, origin) {
  await page.addInitScript(`globalThis.welcomed = bench.seen(${WELCOME})`)
  await page.goto(origin)
  const ms = await page.evaluate(() => globalThis.welcomed)
  await page.getByRole("button", { name: "Create vault" }).waitFor()
  return ms
}

async function reloadOffline(context, page, wire) {
  await context.setOffline(true)
  const before = await allBytes(wire)
  await page.addInitScript(`globalThis.listed = bench.seen(() => document.querySelectorAll(".row").length === ${NOTES})`)
  await page.reload()
  const ms = await page.evaluate(() => globalThis.listed)
  demand((await counted(page)) === NOTES, "not all notes are there without a network")
  demand((await allBytes(wire)) === before, "something came over the wire without a network")
  await page.locator(".status", { hasText: "Offline" }).waitFor()
  return { ms }
}

async function allBytes(wire) {
  return (await wire.sum({ ofWorker: false })).bytes + (await wire.sum({ ofWorker: true })).bytes
}

/** The same visit by a browser that knows gzip only: one that takes the address for another's machine without TLS. */
function comeWithGzip(profile, { port }) {
  const origin = `http://notes.test:${port}`
  const args = ["--host-resolver-rules=MAP notes.test 127.0.0.1", `--unsafely-treat-insecure-origin-as-secure=${origin}`]
  return inBrowser(profile, { args }, async ({ context, page }) => {
    const wire = new Wire(context)
    await visit(page, origin)
    const { bytes } = await wire.sum({ ofWorker: false })
    const encodings = await wire.encodings()
    demand(encodings.join() === "gzip", `bodies came as ${encodings.join(", ")}`)
    return { bytes }
  })
}
