// Somebody who uses the notes app: by the keyboard and what is seen, as tests of the app do.
import { now } from "../browser.mjs"

/** What the app says of the network while there is none, and what the browser says of it. */
export const OFFLINE = /net::ERR_INTERNET_DISCONNECTED|WebSocket|Failed to load resource/

/** Makes the first vault. */
export async function found(page, { name, examples }) {
  await page.getByLabel("Name").fill(name)
  if (!examples) await page.getByText("Begin with a few notes").click()
  await page.getByRole("button", { name: "Create vault" }).click()
  await page.locator("dialog").waitFor({ state: "detached" })
  await page.locator(".vault-name", { hasText: name }).waitFor({ state: "attached" })
}

/** Everything is on the disk, and at the relay. */
export async function settled(page) {
  await page.locator("html:not([data-saved=no])").waitFor({ state: "attached" })
  await page.locator(".status", { hasText: "Synced" }).waitFor()
}

/** The app is there without a network from now on. */
export async function installed(page) {
  await page.evaluate(() => navigator.serviceWorker.ready)
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
}

/** Takes the network away, and loads the page anew: nothing of what was open before is left. */
export async function goOffline(context, page) {
  await context.setOffline(true)
  await page.reload()
  await page.locator(".status", { hasText: "Offline" }).waitFor()
}

/** A link that lets others into the open vault. */
export async function invite(page) {
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name: "Share this vault" }).click()
  await page.getByRole("button", { name: "Make a link" }).click()
  const link = page.locator("input.secret")
  await page.waitForFunction(() => document.querySelector("input.secret").value !== "")
  const text = await link.inputValue()
  await page.keyboard.press("Escape")
  return text
}

/** How many notes are listed. */
export async function counted(page) {
  return Number(await page.locator(".list .count").textContent())
}

/** Titles of all rows, though few of them are in the page at a time. */
export async function listedTitles(page) {
  return page.evaluate(async () => {
    const scroller = document.querySelector(".list .scroll")
    const titles = new Set()
    for (let top = 0; ; top += scroller.clientHeight) {
      scroller.scrollTop = top
      await bench.painted()
      await bench.painted()
      for (const row of document.querySelectorAll(".row-title")) titles.add(row.textContent)
      if (top >= scroller.scrollHeight) break
    }
    scroller.scrollTop = 0
    return [...titles]
  })
}

/** Presses keys as somebody who types fast. */
export async function type(page, text, gapMs = 50) {
  for (const key of text) {
    const due = now() + gapMs
    await page.keyboard.press(key === " " ? "Space" : key)
    await new Promise(resolve => setTimeout(resolve, Math.max(0, due - now())))
  }
}

/** Fails unless something is so. */
export function demand(isSo, what) {
  if (!isSo) throw new Error(what)
}

/** The value below which a share of the values lies. */
export function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]
}
