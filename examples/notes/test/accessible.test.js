import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { eventually } from "../../../packages/client/test/waits.js"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

/** What axe-core finds wrong with the page as it is now, in a few words each. */
async function wrong(page) {
  // The page takes no script but its own; the browser's own protocol is not asked.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE)
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] })
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)} ${failureSummary.slice(0, 200)}`),
    )
  })
}

async function check(page, view) {
  // What fades in has faded in.
  await page.evaluate(() => {
    // What goes meanwhile is not waited for.
    const ends = document.getAnimations().map(({ finished }) => finished.catch(() => undefined))
    return Promise.all(ends)
  })
  assert.deepEqual(await wrong(page), [], view)
}

/** What the page asks for as `url` does not come until the answer is called. */
async function held(page, url) {
  let answer
  const answered = new Promise(resolve => (answer = resolve))
  await page.route(url, route => answered.then(() => route.continue()))
  return answer
}

// Nothing moves: a row that is still coming is there when the next one is looked at.
const looks = [
  { name: "light", options: { colorScheme: "light" } },
  { name: "dark", options: { colorScheme: "dark" } },
  { name: "on a phone", options: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }, isPhone: true },
]

for (const { name, options, isPhone = false } of looks) {
  served(`every view is accessible, ${name}`, async person => {
    const ann = await person({ reducedMotion: "reduce", ...options })
    const { page } = ann
    const start = await held(page, "**/engine_bg.wasm")
    await ann.visit()
    await check(page, "the start")
    start()
    await page.getByRole("button", { name: "Create vault" }).waitFor()
    await check(page, "the first visit")
    await ann.found()
    if (isPhone) {
      await check(page, "the list")
      await page.getByRole("button", { name: "Folders and tags" }).click()
      await check(page, "the sidebar")
      await page.locator(".place", { hasText: "All notes" }).click()
    }
    await ann.row("Writing Markdown").click()
    await check(page, "writing")
    await page.getByRole("button", { name: "Links and outline" }).click()
    await check(page, "the panel")
    await page.getByRole("button", { name: "Links and outline" }).click()
    await page.getByRole("button", { name: "Read", exact: true }).click()
    await page.locator(".page table").waitFor()
    await check(page, "reading")
    await page.getByRole("button", { name: "More", exact: true }).click()
    await check(page, "a menu")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await check(page, "the palette")
    await page.keyboard.press("Escape")
    for (const command of ["All keys", "Settings", "Share this vault", "Import notes", "How it stands", "New vault", "History"]) {
      await ann.command(command)
      await page.locator("dialog.dialog").waitFor()
      await check(page, command)
      await page.keyboard.press("Escape")
      await page.locator("dialog").waitFor({ state: "detached" })
    }
    await ann.command("Inspector")
    const dock = page.getByRole("complementary", { name: "Inspector" })
    for (const name of ["Operations", "Waiting", "Conflicts", "Versions", "Presence", "Relay", "Storage"]) {
      await dock.getByRole("tab", { name }).click()
      await check(page, `the inspector's ${name}`)
    }
    await dock.getByRole("button", { name: "Close the inspector" }).click()
    await ann.command("Graph")
    await page.locator("canvas").waitFor()
    await check(page, "the graph")
    await ann.command("Trash")
    if (!isPhone) await check(page, "the empty trash")
  })
}

served("everything is done by keys alone", async person => {
  const ann = await person()
  const { page } = ann
  const focused = () =>
    page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "")
  const press = keys => page.keyboard.press(keys)
  await ann.visit()
  await page.getByRole("button", { name: "Create vault" }).waitFor()
  await press("Enter")
  await page.locator(".vault-name", { hasText: "Notes" }).waitFor()

  await press("n")
  await page.keyboard.type("Keys only")
  await press("Enter")
  assert.equal(await focused(), "Text")
  await page.keyboard.type("no mouse [[wel")
  await page.locator(".choices li").first().waitFor()
  await press("Enter")
  assert.equal(await ann.text.inputValue(), "no mouse [[Welcome]]")

  // Tab leaves the text: nobody is caught in it.
  await press("Shift+Tab")
  assert.equal(await focused(), "Add a tag")
  await page.keyboard.type("keys")
  await press("Enter")
  await page.locator(".chip.own", { hasText: "#keys" }).waitFor()

  await press("Control+k")
  await page.keyboard.type("welc")
  await press("Enter")
  await page.waitForFunction(() => document.querySelector("input.title").value === "Welcome")
  await page.evaluate(() => document.activeElement.blur())
  // The second key of two counts for a moment only.
  const isInList = async () => {
    await press("g")
    await press("l")
    return (await focused()) === "Notes"
  }
  await eventually(isInList, "the list to have the focus")
  await press("End")
  await press("Home")
  await press("ArrowDown")
  await page.waitForFunction(() => document.querySelector("input.title").value === "Keys only")
  await ann.isTold("“Keys only” moved to the trash", () => press("Delete"))
  await press("Control+z")
  await ann.row("Keys only").waitFor()

  await press("/")
  assert.equal(await focused(), "Search notes")
  await page.keyboard.type("mouse")
  await page.locator(".row", { hasText: "Keys only" }).locator("mark").waitFor()
  await press("Enter")
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA")
  await press("Control+e")
  await page.locator(".page", { hasText: "no mouse" }).waitFor()
  await press("?")
  await page.getByRole("heading", { name: "Keys", exact: true }).waitFor()
  await press("Escape")

  // Once around: every stop can be seen, and has a name.
  const stops = []
  for (let step = 0; step < 60; step++) {
    await press("Tab")
    const stop = await page.evaluate(() => {
      const { activeElement: element } = document
      if (!element || element === document.body) return undefined
      const { outlineStyle, boxShadow } = getComputedStyle(element)
      const name = element.getAttribute("aria-label") || element.textContent?.trim() || element.getAttribute("placeholder")
      const hasRing =
        outlineStyle !== "none" || boxShadow !== "none" || element.matches("input, textarea, [role=listbox], article")
      return { name, hasRing, tag: element.tagName }
    })
    if (stop) stops.push(stop)
  }
  assert.ok(stops.length > 20)
  for (const { name, hasRing, tag } of stops) assert.ok(name && hasRing, `${tag} ${name}`)
})
