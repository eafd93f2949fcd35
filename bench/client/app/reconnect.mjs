// Two people with a vault; one writes for a while without a network, and comes back.
import { mkdtemp, rm } from "node:fs/promises"
import { join } from "node:path"
import { inBrowser, now } from "../browser.mjs"
import { withRelay } from "../relay.mjs"
import { demand, found, goOffline, installed, invite, listedTitles, OFFLINE, settled } from "./person.mjs"

/** What making a note and naming it comes to: it is there, three fields, and its title and time once more. */
const OPERATIONS_MIN = 4

export async function reconnect({ program, site, folder, operations }) {
  const place = await mkdtemp(join(folder, "reconnect-"))
  const browser = (name, play) => inBrowser(join(place, name), { mayHear: OFFLINE }, play)
  try {
    return await withRelay({ program, site, folder: join(place, "relay") }, relay =>
      browser("ann", ann => browser("ben", ben => apart({ ann, ben, origin: relay.origin, operations }))),
    )
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

async function apart({ ann, ben, origin, operations }) {
  await begin(ann.page, origin)
  await ben.page.goto(await invite(ann.page))
  await ben.page.locator(".vault-name", { hasText: "Ours" }).waitFor({ state: "attached" })
  await settled(ann.page)
  await goOffline(ann.context, ann.page)
  const { titles, queued } = await writeAlone(ann.page, operations)
  demand((await ben.page.locator(".row").count()) === 0, "something arrived though there was no network")
  const times = await together(ann, ben, titles.length)
  const theirs = await listedTitles(ben.page)
  const missing = titles.filter(title => !theirs.includes(title))
  demand(missing.length === 0, `${missing.length} notes did not arrive, the first is ${missing[0]}`)
  return { ...times, queued, notes: titles.length }
}

async function begin(page, origin) {
  await page.goto(origin)
  await found(page, { name: "Ours", examples: false })
  await installed(page)
  await settled(page)
}

/** Makes notes until so many operations wait. */
async function writeAlone(page, operations) {
  const titles = []
  let queued = 0
  while (queued < operations) {
    const left = Math.max(1, Math.floor((operations - queued) / OPERATIONS_MIN / 2))
    for (let count = 0; count < left; count++) titles.push(await writeOne(page, `Alone ${titles.length + 1}`))
    queued = await waiting(page)
  }
  return { titles, queued }
}

async function writeOne(page, title) {
  await page.locator(".list").getByRole("button", { name: "New note" }).click()
  const field = page.getByLabel("Title", { exact: true })
  await field.fill(title)
  await field.press("Enter")
  return title
}

/** How many operations the app says the relay does not have. */
async function waiting(page) {
  await page.locator("html:not([data-saved=no])").waitFor({ state: "attached" })
  const label = await page.locator(".status", { hasText: /Offline · \d+ waiting/ }).textContent()
  return Number(/(\d+) waiting/.exec(label)[1])
}

/** Gives the network back; says when the other page shows all notes, and when this one says that everything is at the relay. */
async function together(ann, ben, count) {
  const isThere = `() => document.querySelector(".list .count").textContent === "${count}" && document.querySelector(".row")`
  const isSynced = () => document.querySelector(".status").textContent === "Synced"
  await ben.page.evaluate(`void (globalThis.arrived = bench.seenAt(${isThere}))`)
  await ann.page.evaluate(`void (globalThis.sent = bench.seenAt(${isSynced}))`)
  const from = now()
  await ann.context.setOffline(false)
  const [arrived, sent] = [await ben.page.evaluate(() => globalThis.arrived), await ann.page.evaluate(() => globalThis.sent)]
  return { ms: arrived - from, acknowledged_ms: sent - from }
}
