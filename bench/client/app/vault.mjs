// A vault of thousands of notes: how soon it is there, is searched, and takes what is typed.
import { join } from "node:path"
import { inBrowser } from "../browser.mjs"
import { archive, COMMON, longText, PAIR, planted, RARE } from "../notes.mjs"
import { withRelay } from "../relay.mjs"
import { counted, demand, found, installed, percentile, settled, type } from "./person.mjs"

/** Notes that are written in: one as most are, and one as long as a short book. */
const WRITTEN = { Short: 2_000, Long: 100_000 }
/** Searches of each kind. */
const SEARCHES = 5
/** More hits are not shown. */
const HITS_MAX = 300

/** Imports the vault, into a profile and a relay that keep it for scenes to come. */
export function fillVault({ program, site, folder, count }) {
  return withRelay({ program, site, folder: join(folder, "vault") }, relay =>
    inBrowser(join(folder, "vault-profile"), {}, async ({ page }) => {
      await page.goto(relay.origin)
      await found(page, { name: "Years", examples: false })
      await installed(page)
      const from = performance.now()
      await takeIn(page, archive(count), count)
      const import_s = (performance.now() - from) / 1000
      for (const [title, chars] of Object.entries(WRITTEN)) await write(page, title, longText(chars))
      await settled(page)
      return { import_s, notes: await counted(page) }
    }),
  )
}

async function takeIn(page, zip, count) {
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name: "Import notes" }).click()
  const file = { name: "Vault.zip", mimeType: "application/zip", buffer: zip }
  await page.getByLabel("Files", { exact: true }).setInputFiles(file)
  await page.locator("dialog").getByText(`${count} notes were imported.`).waitFor()
  await page.getByRole("button", { name: "Done" }).click()
  await page.locator(".list .count", { hasText: String(count) }).waitFor()
  await settled(page)
}

async function write(page, title, text) {
  await page.locator(".list").getByRole("button", { name: "New note" }).click()
  const field = page.getByLabel("Title", { exact: true })
  await field.fill(title)
  await field.press("Enter")
  await page.getByLabel("Text", { exact: true }).fill(text)
  await settled(page)
}

/** Opens it in a browser that was not running, and works in it. */
export function openVault({ program, site, folder, count, keys }) {
  const all = count + Object.keys(WRITTEN).length
  return withRelay({ program, site, folder: join(folder, "vault") }, relay =>
    inBrowser(join(folder, "vault-profile"), {}, async ({ page }) => {
      const open = await comeBack(page, relay.origin, all)
      const search = await searches(page, planted(count))
      const short = await writeIn(page, "Short", keys)
      const long = await writeIn(page, "Long", keys)
      await settled(page)
      demand((await counted(page)) === all, "notes are missing in the end")
      return { open, search, short, long }
    }),
  )
}

/** The list with the true number of notes is painted; a note that is clicked then is there to be written in; all texts can be searched. */
async function comeBack(page, origin, all) {
  const look = `() => document.querySelector(".list .count")?.textContent === "${all}" && document.querySelectorAll(".row").length > 5`
  await page.addInitScript(`globalThis.listed = bench.seen(${look}).then(${clickThird})`)
  await page.goto(origin)
  const { listed_ms, usable_ms, title } = await page.evaluate(() => globalThis.listed)
  demand((await page.getByLabel("Title", { exact: true }).inputValue()) === title, "another note opened than was clicked")
  return { listed_ms, usable_ms, searchable_ms: await searchable(page) }
}

/** Runs in the page: clicks as soon as there is something to be clicked. */
const clickThird = async listed_ms => {
  const third = () => document.querySelectorAll(".row")[2]
  // Rows may just be made anew.
  while (!third()) await bench.painted()
  const row = third()
  const title = row.querySelector(".row-title").textContent
  row.click()
  const area = document.querySelector("textarea.text")
  const isThere = () => document.querySelector("input.title").value === title && area.value !== "" && area.offsetHeight > 0
  return { listed_ms, usable_ms: await bench.seen(isThere), title }
}

/** From when on nothing is missing from what is found: the hint is gone. */
async function searchable(page) {
  await page.getByLabel("Search notes").focus()
  await page.keyboard.insertText(RARE)
  const whole = () =>
    document.querySelector(".list h2").textContent === "Results" &&
    document.querySelector(".hint").textContent === "" &&
    document.querySelectorAll(".row").length === 1
  const ms = await page.evaluate(`bench.seen(${whole})`)
  await endSearch(page)
  return ms
}

async function searches(page, { title, pair, common }) {
  const typo = `${RARE.slice(0, -1)}k`
  const ways = {
    rare: { text: RARE, count: 1, first: title },
    typo: { text: typo, count: 1, first: title },
    pair: { text: PAIR.join(" "), count: pair },
    common: { text: COMMON, count: Math.min(HITS_MAX, common) },
  }
  const found = {}
  for (const [name, way] of Object.entries(ways)) {
    const times = []
    for (let round = 0; round < SEARCHES; round++) times.push(await searchOnce(page, way))
    found[name] = { p50_ms: percentile(times, 0.5), max_ms: Math.max(...times) }
  }
  return { ...found, slowest_ms: Math.max(...Object.values(found).map(({ p50_ms }) => p50_ms)) }
}

/** From the input to when what was found is painted. */
async function searchOnce(page, { text, count, first }) {
  await page.getByLabel("Search notes").focus()
  await page.evaluate(`void (globalThis.found = (${watchSearch})(${count}))`)
  await page.keyboard.insertText(text)
  const { ms, titles, marks } = await page.evaluate(() => globalThis.found)
  demand(first === undefined || titles[0] === first, `${text}: ${titles[0]} was found, and not ${first}`)
  demand(marks > 0, `${text}: no word is marked in what was found`)
  await endSearch(page)
  return ms
}

/** Runs in the page. */
const watchSearch = count =>
  new Promise(resolve => {
    const look = () =>
      document.querySelector(".list h2").textContent === "Results" &&
      document.querySelector(".list .count").textContent === String(count) &&
      document.querySelector(".row mark")
    const after = async ({ timeStamp }) => {
      const at = await bench.seen(look)
      const titles = [...document.querySelectorAll(".row-title")].map(row => row.textContent)
      resolve({ ms: at - timeStamp, titles, marks: document.querySelectorAll(".row mark").length })
    }
    document.addEventListener("input", event => void after(event), { once: true, capture: true })
  })

async function endSearch(page) {
  await page.getByLabel("Search notes").press("Escape")
  await page.locator(".list h2", { hasText: "All notes" }).waitFor()
}

/** What is typed: words, and links and tags, for which names are looked for among all notes at each key. */
const WORDS = "the garden wants water before noon, and so do we *all* in a while "
const NAMES = "[[Note 12 ga]] #tag-1 "

async function writeIn(page, title, keys) {
  await page.locator(".row-title", { hasText: new RegExp(`^${title}$`) }).click()
  await page.waitForFunction(title => document.querySelector("input.title").value === title, title)
  await page.evaluate(`void (globalThis.typing = (${watchTyping})())`)
  const words = WORDS.repeat(Math.ceil(keys / WORDS.length)).slice(0, keys)
  await type(page, words)
  await page.evaluate(() => (globalThis.typing.of = "names"))
  await type(page, NAMES)
  await page.keyboard.press("Escape")
  await settled(page)
  const { times, tasks, text, line } = await page.evaluate(() => globalThis.typing.end())
  demand(line.endsWith(words + NAMES), `other words are there than were typed in ${title}: ${line.slice(-100)}`)
  demand(text, `what is painted is not what ${title} says`)
  demand(times.words.length === words.length, `${times.words.length} of ${words.length} keys were painted`)
  const summary = of => ({
    p50_ms: percentile(times[of], 0.5),
    p99_ms: percentile(times[of], 0.99),
    max_ms: Math.max(...times[of]),
  })
  return { words: summary("words"), names: summary("names"), long_tasks: tasks.length, longest_task_ms: Math.max(0, ...tasks) }
}

/** Runs in the page: from each key to when the frame with its character is painted. */
const watchTyping = () => {
  const area = document.querySelector("textarea.text")
  const behind = document.querySelector(".behind")
  const times = { words: [], names: [] }
  const lineEnd = area.value.indexOf("\n", area.value.length / 2)
  const at = lineEnd < 0 ? area.value.length : lineEnd
  const lineStart = area.value.lastIndexOf("\n", at - 1) + 1
  const number = area.value.slice(0, at).split("\n").length - 1
  area.focus()
  area.setSelectionRange(at, at)
  let pressed = 0
  area.addEventListener("keydown", event => (pressed = event.timeStamp), { capture: true })
  const typing = { of: "words" }
  document.addEventListener("input", () => {
    const { of } = typing
    const from = pressed
    const before = area.value.slice(lineStart, area.selectionStart)
    requestAnimationFrame(() => {
      const isThere = behind.children[number].textContent.startsWith(before)
      const { port1, port2 } = new MessageChannel()
      port1.onmessage = () => isThere && times[of].push(performance.now() - from)
      port2.postMessage(undefined)
    })
  })
  const endTasks = bench.longTasks()
  typing.end = () => {
    const painted = [...behind.children].map(line => line.textContent).join("\n")
    return { times, tasks: endTasks(), text: painted === area.value, line: area.value.split("\n")[number] }
  }
  return typing
}
