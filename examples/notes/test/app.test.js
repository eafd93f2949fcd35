import assert from "node:assert/strict"
import { inBrowser as inAnyBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const inBrowser = (name, run) => inAnyBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

inBrowser("somebody comes for the first time, writes, finds, throws away and takes back", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ name: "Diary" })
  await page.waitForFunction(() => document.querySelectorAll(".row").length === 3)

  await ann.write("Soup", "Leek and potatoes, slowly. #dinner")
  await page.locator(".tags .place", { hasText: "dinner" }).waitFor()
  await page.getByLabel("Add a tag").fill("Winter")
  await page.getByLabel("Add a tag").press("Enter")
  await page.locator(".chip.own", { hasText: "#winter" }).waitFor()

  await page.getByLabel("Search notes").fill("potat")
  await page.locator(".list h2", { hasText: "Results" }).waitFor()
  await page
    .locator(".row mark", { hasText: /^potatoes$/ })
    .first()
    .waitFor()
  assert.deepEqual(await page.locator(".row-title").allTextContents(), ["Soup"])
  await page.getByLabel("Search notes").fill("nothing has this")
  await page.getByText("Nothing found").waitFor()
  await page.getByLabel("Search notes").press("Escape")

  await ann.row("Soup").click()
  await page.getByRole("button", { name: "More", exact: true }).click()
  await page.getByRole("menuitem", { name: "Move to the trash" }).click()
  await ann.row("Soup").waitFor({ state: "detached" })
  await page.locator(".sidebar .place", { hasText: "Trash" }).click()
  await ann.row("Soup").click()
  await page.getByText("This note is in the trash.").waitFor()
  assert.equal(await page.getByLabel("Title", { exact: true }).getAttribute("readonly"), "")
  await page.getByRole("button", { name: "Restore" }).click()
  await page.locator(".list h2", { hasText: "All notes" }).waitFor()
  await ann.row("Soup").waitFor()

  await ann.saved()
  await page.reload()
  await ann.row("Soup").click()
  await ann.reads("Leek and potatoes, slowly. #dinner")
})

/** Has a person's pages keep what their search workers were given, and answers while they are held back. */
const holdAnswers = ({ context }) =>
  context.addInitScript(() => {
    globalThis.given = []
    globalThis.held = undefined
    globalThis.letGo = () => {
      const answers = held
      globalThis.held = undefined
      for (const tell of answers) tell()
    }
    const { addEventListener, postMessage } = Worker.prototype
    Worker.prototype.postMessage = function (told) {
      given.push(...(told.put ?? []).map(({ title }) => title))
      return postMessage.call(this, told)
    }
    Worker.prototype.addEventListener = function (type, listener) {
      addEventListener.call(this, type, event => (held ? held.push(() => listener(event)) : listener(event)))
    }
  })

inBrowser("what is written while an answer of the search is on its way is found too", async person => {
  const ann = await person()
  await holdAnswers(ann)
  await ann.visit()
  await ann.found({ examples: false })
  const first = ann.page
  await first.evaluate(() => (globalThis.held = []))
  await first.getByLabel("Search notes").fill("zebra")
  await first.waitForFunction(() => held.length >= 1)
  ann.page = await ann.context.newPage()
  await ann.visit()
  await ann.write("Zebra")
  await first.waitForFunction(() => given.includes("Zebra"))
  await first.evaluate(() => letGo())
  await first.locator(".list h2", { hasText: "Results" }).waitFor()
  await first.locator(".row", { hasText: "Zebra" }).waitFor()
})

inBrowser("who types quickly goes to what was typed, not to what was found before", async person => {
  const ann = await person()
  const { page } = ann
  await holdAnswers(ann)
  await ann.visit()
  await ann.found({ examples: false })
  for (const title of ["Apple", "Apricot", "Bread"]) await ann.write(title)
  const search = page.getByLabel("Search notes")
  for (const key of ["Enter", "ArrowDown"]) {
    await ann.row("Bread").click()
    await search.fill("ap")
    await page.locator(".list .count", { hasText: /^2$/ }).waitFor()
    const before = await page.locator(".row .row-title").allTextContents()
    await page.evaluate(() => (globalThis.held = []))
    await search.fill(before[1])
    await page.waitForFunction(() => held.length >= 1)
    await search.press(key)
    assert.equal(await page.locator("input.title").inputValue(), "Bread")
    await page.evaluate(() => letGo())
    await page.waitForFunction(title => document.querySelector("input.title").value === title, before[1])
    await page.waitForFunction(() => document.activeElement.type !== "search")
    await search.fill("")
  }
  await search.fill("nothing is called so")
  await search.press("Enter")
  await page.locator(".nothing", { hasText: "Nothing found" }).waitFor()
  assert.equal(await page.evaluate(() => document.activeElement.type), "search")
})

inBrowser("links lead to notes, follow their titles, and make a graph", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await ann.write("Soup", "hot")
  await ann.write("Plan", "")
  await ann.text.focus()
  await page.keyboard.type("cook [[sou")
  await page.locator(".choices li", { hasText: "Soup" }).waitFor()
  await page.keyboard.press("Enter")
  await page.keyboard.type(" and [[Bread]]")
  assert.equal(await ann.text.inputValue(), "cook [[Soup]] and [[Bread]]")

  await page.keyboard.press("Control+e")
  await page.locator(".page a.missing", { hasText: "Bread" }).waitFor()
  await page.locator(".page a", { hasText: "Soup" }).click()
  await page.waitForFunction(() => document.querySelector("input.title").value === "Soup")
  await page.getByRole("button", { name: "Links and outline" }).click()
  await page.locator(".backlink", { hasText: "Plan" }).waitFor()
  const rename = async title => {
    await page.getByLabel("Title", { exact: true }).fill(title)
    await page.getByLabel("Title", { exact: true }).press("Enter")
  }
  await ann.isTold("1 note links to the new title", () => rename("Stew"))
  await page.locator(".backlink").click()
  await page.locator(".page a.wiki:not(.missing)", { hasText: "Stew" }).waitFor()

  await page.getByRole("button", { name: "Graph", exact: true }).click()
  await page.getByText("2 notes, 1 link", { exact: true }).waitFor()
  await page.locator("canvas").focus()
  await page.keyboard.press("ArrowDown")
  await page.keyboard.press("Enter")
  await page.locator(".note .whole").waitFor()
})

inBrowser("text is edited as people expect it", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await ann.write("List", "")
  await ann.text.focus()
  const value = () => ann.text.inputValue()
  await page.keyboard.type("- one\ntwo")
  assert.equal(await value(), "- one\n- two")
  await page.keyboard.press("Tab")
  assert.equal(await value(), "- one\n  - two")
  await page.keyboard.press("Enter")
  await page.keyboard.press("Enter")
  await page.keyboard.press("Enter")
  assert.equal(await value(), "- one\n  - two\n")
  await page.keyboard.type("bold")
  await page.keyboard.press("Shift+Home")
  await page.keyboard.press("Control+b")
  assert.equal(await value(), "- one\n  - two\n**bold**")
  await page.keyboard.press("Control+z")
  assert.equal(await value(), "- one\n  - two\nbold".slice(0, (await value()).length))
  while ((await value()) !== "") await page.keyboard.press("Control+z")
  for (let step = 0; step < 20; step++) await page.keyboard.press("Control+Shift+z")
  assert.equal(await value(), "- one\n  - two\n**bold**")
  // A dialog that is closed gives the caret back.
  await page.keyboard.press("Control+k")
  await page.getByRole("combobox", { name: "Find a note" }).fill("x")
  await page.keyboard.press("Escape")
  await page.locator("dialog").waitFor({ state: "detached" })
  await page.keyboard.type("!")
  assert.equal(await value(), "- one\n  - two\n**bold**!")
  await page.keyboard.press("Backspace")
  await page.getByRole("button", { name: "Task", exact: true }).click()
  assert.equal(await value(), "- one\n  - two\n- [ ] **bold**")
  // What is behind the text is painted with the next frame.
  const task = "- one\n  - two\n- [ ] **bold**"
  await page.waitForFunction(text => document.querySelector(".behind").innerText === text, task)

  await page.keyboard.press("Control+e")
  await page.getByRole("checkbox", { name: "bold" }).click()
  await page.keyboard.press("Control+e")
  await ann.reads("- one\n  - two\n- [x] **bold**")
})

inBrowser("days, templates, folders and versions", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })

  await page.locator(".place", { hasText: "Today" }).click()
  const day = await page.evaluate(() => new Intl.DateTimeFormat("sv").format(new Date()))
  await page.waitForFunction(day => document.querySelector("input.title").value === day, day)
  assert.match(await ann.text.inputValue(), /^## \w+, \d+ \w+\n\n- \[ \] \n$/)

  await ann.write("Meeting", "with {{title}} on {{date}}: {{cursor}}!")
  await page.getByRole("button", { name: "More", exact: true }).click()
  await page.getByRole("menuitem", { name: "Make it a template" }).click()
  await page.locator(".place", { hasText: "Templates" }).locator(".count", { hasText: "1" }).waitFor()
  await page.locator(".place", { hasText: "All notes" }).click()
  await ann.write("Ben", "")
  await ann.command("Insert a template")
  await page.getByRole("menuitem", { name: "Meeting" }).click()
  await page.keyboard.type("here")
  assert.equal(await ann.text.inputValue(), `with Ben on ${day}: here!`)

  await page.getByRole("button", { name: "New folder" }).click()
  await page.getByLabel("Name").fill("Work")
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.locator(".list h2", { hasText: "Work" }).waitFor()
  await ann.write("Inside", "first words")
  await page.locator(".folder .count", { hasText: "1" }).waitFor()
  await page.getByRole("button", { name: "More about Work" }).click()
  await page.getByRole("menuitem", { name: "Remove folder" }).click()
  await page.getByRole("button", { name: "Remove", exact: true }).click()
  await page.locator(".folder").waitFor({ state: "detached" })
  await ann.row("Inside").click()
  await page.locator(".chip", { hasText: "No folder" }).waitFor()
})

inBrowser("an earlier version is brought back from the history, and that can be taken back", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await ann.write("Soup", "Leek and potatoes\n")
  await ann.synced()
  // What is written within a few minutes is one version.
  const later = () =>
    page.evaluate(() => {
      const now = Date.now.bind(Date)
      Date.now = () => now() + 10 * 60_000
    })
  await later()
  await ann.text.fill("Onions\n")
  await ann.saved()
  await later()
  await ann.command("History")
  const dialog = page.getByRole("dialog", { name: "History of “Soup”" })
  await dialog.locator(".compared.removed", { hasText: "Leek and potatoes" }).waitFor()
  await dialog.locator(".compared.added", { hasText: "Onions" }).waitFor()
  await dialog.getByRole("button", { name: "Bring this version back" }).click()
  await ann.reads("Leek and potatoes\n")
  await ann.text.focus()
  await page.keyboard.press("Control+z")
  await ann.reads("Onions\n")
  await page.keyboard.press("Control+Shift+z")
  await ann.reads("Leek and potatoes\n")
  await ann.saved()
  await ann.synced()
  await page.reload()
  await ann.row("Soup").click()
  await ann.reads("Leek and potatoes\n")
  await ann.command("History")
  await dialog.locator(".versions button").first().waitFor()
  await dialog.locator(".compared.removed", { hasText: "Onions" }).waitFor()
})

inBrowser("the app starts and is written in without a network", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found()
  await ann.write("Before", "online")
  await page.evaluate(() => navigator.serviceWorker.ready)
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null)
  ann.mayHear(/net::ERR_INTERNET_DISCONNECTED|WebSocket|Failed to load resource/)
  await ann.context.setOffline(true)
  await ann.saved()
  await page.reload()
  await ann.row("Before").click()
  await ann.reads("online")
  await page.keyboard.press("Control+e")
  await page.locator(".page", { hasText: "online" }).waitFor()
  await page.keyboard.press("Control+e")
  await ann.write("After", "offline")
  await page.locator(".status", { hasText: "Offline" }).waitFor()
  await ann.saved()
  await page.reload()
  await ann.row("After").click()
  await ann.reads("offline")
})

inBrowser("what is hostile in a note does nothing, and asks nobody", async (person, site) => {
  const ann = await person()
  const { page } = ann
  const asked = []
  page.on(
    "request",
    request => request.url().startsWith(site.origin) || request.url().startsWith("data:") || asked.push(request.url()),
  )
  page.on("dialog", dialog => asked.push(dialog.message()))
  await ann.visit()
  await ann.found({ examples: false })
  const hostile = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "![pixel](https://evil.example/pixel.gif)",
    "![svg](data:image/svg+xml,<svg onload=alert(1)>)",
    "[click](javascript:alert(1)) [data](data:text/html,<script>alert(1)</script>)",
    "<iframe src=https://evil.example></iframe><link rel=stylesheet href=https://evil.example/x.css>",
    "[[<img src=x onerror=alert(1)>]] #tag <style>*{display:none}</style>",
    "https://evil.example/auto",
  ].join("\n\n")
  await ann.write("<img src=x onerror=alert(1)>", hostile)
  await page.getByLabel("Search notes").fill("click")
  await page.locator(".list h2", { hasText: "Results" }).waitFor()
  await page.keyboard.press("Escape")
  await page.getByRole("button", { name: "Read", exact: true }).click()
  await page.locator(".page", { hasText: "pixel" }).waitFor()
  const found = await page.evaluate(() => [...document.querySelectorAll(".page *")].map(({ tagName }) => tagName.toLowerCase()))
  assert.deepEqual([...new Set(found)].sort(), ["a", "p", "span"])
  const links = await page.evaluate(() => [...document.querySelectorAll(".page a")].map(link => link.getAttribute("href")))
  assert.ok(
    links.every(href => href === "#" || href.startsWith("https://evil.example/")),
    String(links),
  )
  for (const word of await page.locator(".page .no-link").all()) await word.click()
  assert.deepEqual(asked, [])
})
