// What must not be lost by a slip: of a hand, of a clock, of two people at once.
import assert from "node:assert/strict"
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { unzipSync } from "fflate"
import { inBrowser as inAnyBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const inBrowser = (name, run) => inAnyBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

/** Somebody with an empty vault. */
async function begun(person) {
  const ann = await person()
  await ann.visit()
  await ann.found({ examples: false })
  return ann
}

/** Another tab of the same person. */
async function secondTab(ann) {
  const page = await ann.context.newPage()
  await page.goto(ann.page.url())
  await page.locator(".vault-name", { hasText: "Notes" }).waitFor({ state: "attached" })
  return page
}

const titles = page => page.locator(".row-title").allTextContents()
const titleOf = page => page.getByLabel("Title", { exact: true })
const count = (page, number) => page.locator(".list .count", { hasText: new RegExp(`^${number}$`) }).waitFor()

inBrowser("keys that delete a word or take back a letter do that in every field", async person => {
  const ann = await begun(person)
  const { page } = ann
  await ann.write("Soup", "hot water")
  const search = page.getByLabel("Search notes")
  for (const [field, left] of [
    [ann.text, "hot "],
    [titleOf(page), "So "],
    [page.getByLabel("Add a tag"), "a "],
    [search, "a "],
  ]) {
    if (field !== ann.text) await field.fill(`${left}word`)
    await field.press("End")
    await field.press("Control+Backspace")
    assert.equal(await field.inputValue(), left)
  }
  await search.fill("")
  assert.equal(await page.locator(".toast").isVisible(), false)
  await count(page, 1)

  await page.locator(".list").getByRole("button", { name: "New note" }).click()
  await page.keyboard.type("Foo")
  await page.keyboard.press("Control+z")
  await count(page, 2)
  await titleOf(page).fill("Bread")
  await titleOf(page).press("Enter")
  await page.locator(".row", { hasText: "Bread" }).waitFor()

  // In the list it is the notes' key, once for each time that it is pressed.
  await page.locator(".row", { hasText: "Bread" }).click()
  await page.locator(".rows").focus()
  await page.keyboard.down("Control")
  for (let times = 0; times < 3; times++) await page.keyboard.down("Backspace")
  await page.keyboard.up("Control")
  await page.locator(".toast", { hasText: "“Bread” moved to the trash" }).waitFor()
  await count(page, 1)
  await page.keyboard.press("Control+z")
  await count(page, 2)

  // What is open need not be listed.
  await page.locator(".row", { hasText: "Bread" }).click()
  await search.fill("hot")
  await count(page, 1)
  await page.locator(".rows").focus()
  await page.keyboard.press("Delete")
  await search.press("Escape")
  await count(page, 2)
  // A key that ends a composition is no key of the search.
  await search.fill("hot")
  await count(page, 1)
  const composed = { key: "Enter", isComposing: true, bubbles: true, cancelable: true }
  await search.evaluate((field, composed) => field.dispatchEvent(new KeyboardEvent("keydown", composed)), composed)
  assert.equal(await titleOf(page).inputValue(), "Bread")
})

inBrowser("links follow a title that is thought about, and a field that is left shows what others called it", async person => {
  const ann = await begun(person)
  const { page } = ann
  await ann.write("So", "")
  await ann.write("Plan", "cook [[Soup]]")
  await ann.write("Soup", "")
  const title = titleOf(page)
  // What is typed is written after a while, and then it is in the list.
  for (const [part, listed] of [
    ["", "Untitled"],
    ["So", "So"],
    ["Sourdough", "Sourdough"],
  ]) {
    await title.fill(part)
    await page.waitForFunction(
      listed => document.querySelector(".row[aria-selected=true] .row-title")?.textContent === listed,
      listed,
    )
  }
  await title.press("Enter")
  await page.getByText("1 note links to the new title").waitFor()
  await ann.row("Plan").click()
  await ann.reads("cook [[Sourdough]]")

  await page.locator(".row-title", { hasText: "Sourdough" }).click()
  await page.waitForFunction(() => document.querySelector("input.title").value === "Sourdough")
  await title.focus()
  const other = await secondTab(ann)
  await titleOf(other).fill("Rye")
  await titleOf(other).press("Enter")
  // The note that links to it says its title too.
  await page.locator(".row-title", { hasText: "Rye" }).waitFor()
  await ann.text.focus()
  await page.waitForFunction(() => document.querySelector("input.title").value === "Rye")
})

inBrowser("a suggestion goes where it was asked for, whoever writes above", async person => {
  const ann = await begun(person)
  const { page } = ann
  await ann.write("Soup", "")
  await ann.write("Sourdough", "")
  await ann.write("Plan", "first line\n")
  await ann.saved()
  const other = await secondTab(ann)
  await other.waitForFunction(() => document.querySelector("textarea").value === "first line\n")
  await ann.type("see [[sou")
  const choices = page.locator(".choices li")
  await choices.nth(1).waitFor()
  await page.keyboard.press("ArrowDown")
  const chosen = await page.locator(".choices [aria-selected=true]").textContent()
  await other.getByLabel("Text", { exact: true }).focus()
  await other.keyboard.press("Control+Home")
  await other.keyboard.type("from the other tab, ")
  await ann.reads("from the other tab, first line\nsee [[sou")
  await page.keyboard.press("Enter")
  assert.equal(await ann.text.inputValue(), `from the other tab, first line\nsee [[${chosen}]]`)
  await page.keyboard.type(" [[sou")
  await choices.first().waitFor()
  await page.keyboard.press("Control+Home")
  await choices.first().waitFor({ state: "hidden" })
})

inBrowser("what somebody takes out of the trash is not deleted by who was asked before", async person => {
  const ann = await begun(person)
  const { page } = ann
  for (const title of ["One", "Two", "Three"]) {
    await ann.write(title)
    await ann.command("Move to the trash")
  }
  await ann.command("Trash")
  await count(page, 3)
  const other = await secondTab(ann)
  const restore = async title => {
    await other.locator(".row", { hasText: title }).click()
    await other.getByRole("button", { name: "Restore", exact: true }).click()
    await other.locator(".list h2", { hasText: "All notes" }).waitFor()
    await other.locator(".sidebar .place", { hasText: "Trash" }).click()
  }
  await ann.row("One").click()
  await page.locator(".note .banner").getByRole("button", { name: "Delete forever" }).click()
  await restore("One")
  await page.locator(".list .count", { hasText: /^2$/ }).waitFor({ state: "attached" })
  await page.locator("dialog").getByRole("button", { name: "Delete forever" }).click()
  await page.locator("dialog").waitFor({ state: "detached" })
  await page.getByRole("button", { name: "Empty the trash" }).click()
  await restore("Two")
  await page.locator(".list .count", { hasText: /^1$/ }).waitFor({ state: "attached" })
  await page.locator("dialog").getByRole("button", { name: "Delete forever" }).click()
  await page.getByText("The trash is empty").waitFor()
  await ann.command("All notes")
  await count(page, 2)
  assert.deepEqual((await titles(page)).sort(), ["One", "Two"])
})

inBrowser("a first visit has nothing to do but to found a vault, and founds one", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  const dialog = page.locator("dialog.welcome")
  await dialog.waitFor()
  await page.mouse.click(5, 5)
  for (let times = 0; times < 3; times++) await page.keyboard.press("Escape")
  await dialog.waitFor()
  assert.equal(await page.evaluate(() => document.querySelector(".panes").inert), true)
  await page.getByText("Begin with a few notes").click()
  // Whoever clicks twice, quicker than a vault is founded.
  await page.getByRole("button", { name: "Create vault" }).evaluate(button => (button.click(), button.click()))
  await page.locator(".vault-name", { hasText: "Notes" }).waitFor()
  await dialog.waitFor({ state: "detached" })
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name: "New vault" }).waitFor()
  assert.equal(await page.getByRole("menuitemcheckbox").count(), 1)
})

inBrowser("a vault that is damaged is in the way of no other one", async person => {
  const ann = await begun(person)
  const { page } = ann
  await ann.write("Whole")
  await ann.command("New vault")
  await ann.found({ name: "Broken" })
  await ann.saved()
  const id = decodeURIComponent(new URL(page.url()).hash.split("/")[1])
  await page.evaluate(async id => {
    const asked = indexedDB.open("selvedge:notes")
    await new Promise(resolve => (asked.onsuccess = resolve))
    const stored = asked.result.transaction("replicas", "readwrite")
    const put = stored.objectStore("replicas").put(new Uint8Array(40).fill(7), id)
    await new Promise((resolve, reject) => Object.assign(stored, { oncomplete: resolve, onabort: reject }))
    asked.result.close()
    return put.result
  }, id)
  await ann.visit("/#/")
  await page.reload()
  await ann.row("Whole").waitFor()
  await page.locator(".toast", { hasText: "Opening the vault failed" }).waitFor()
})

inBrowser("a note that comes after its address is opened", async person => {
  const ann = await begun(person)
  const { page } = ann
  const vault = new URL(page.url()).hash.split("/")[1]
  const day = await page.evaluate(() => new Intl.DateTimeFormat("sv").format(new Date()))
  const other = await ann.context.newPage()
  await other.goto(`${ann.site.origin}/#/${vault}/all/day-${day}`)
  await other.getByText("No note is open").waitFor()
  await page.locator(".place", { hasText: "Today" }).click()
  await other.waitForFunction(day => document.querySelector("input.title").value === day, day)
})

const withoutSearch = async (person, up) => {
  await rm(join(up.site, "search-worker.js"))
  const ann = await person()
  ann.mayHear(/Failed to load resource|not installed/)
  const { page } = ann
  await ann.visit()
  await page.getByLabel("Name").fill("Notes")
  await page.getByRole("button", { name: "Create vault" }).click()
  await page.locator(".toast", { hasText: "Searching does not work" }).waitFor()
  await page.getByLabel("Search notes").fill("welcome")
  await page.getByText("Nothing found").waitFor()
}

inAnyBrowser("a search that cannot be loaded says so, and is not waited for", withoutSearch, {
  start: () => Up.startCopy(),
  isSkipped: noRelay,
})

inBrowser(
  "a vault that is forgotten in one tab is left in all of them, and what one tab chose stays in the other",
  async person => {
    const ann = await begun(person)
    const { page } = ann
    await ann.write("Soup", "hot water")
    const other = await secondTab(ann)
    await other.locator(".row", { hasText: "Soup" }).click()
    await theme(page, "dark")
    await other.waitForFunction(() => document.documentElement.dataset.theme === "dark")
    await other.getByRole("button", { name: "Links and outline", exact: true }).click()
    await other.reload()
    await other.waitForFunction(() => document.documentElement.dataset.theme === "dark")

    await vaultItem(page, "New vault")
    await page.getByRole("textbox", { name: "Name" }).fill("Work")
    await page.getByRole("button", { name: "Create vault" }).click()
    await page.locator(".vault-name", { hasText: "Work" }).waitFor()
    await vaultItem(other, "Forget on this device")
    await other.getByRole("button", { name: "Forget", exact: true }).click()
    await other.getByText("“Notes” was forgotten on this device.").waitFor()
    await other.locator(".vault-name", { hasText: "Work" }).waitFor()

    // The first tab forgets the one that both show: what the other one shows can still be saved.
    await other.locator(".list").getByRole("button", { name: "New note" }).click()
    await other.getByLabel("Title", { exact: true }).fill("Kept")
    await page.locator(".row", { hasText: "Kept" }).waitFor()
    await vaultItem(page, "Forget on this device")
    await page.getByRole("button", { name: "Forget", exact: true }).click()
    await page.getByRole("heading", { name: "Your notes, on every device" }).waitFor()
    const gone = other.locator("dialog", { hasText: "“Work” is gone from this device" })
    const [download] = await Promise.all([
      other.waitForEvent("download"),
      gone.getByRole("button", { name: "Export notes" }).click(),
    ])
    assert.ok(unzipSync(await readFile(await download.path()))["Kept.md"])
    await gone.getByRole("button", { name: "Leave" }).click()
    await other.getByRole("heading", { name: "Your notes, on every device" }).waitFor()
  },
)

inBrowser("of vaults that are asked for one after the other the last is opened", async person => {
  const ann = await begun(person)
  const { page } = ann
  const first = addressOf(page)
  await vaultItem(page, "New vault")
  await page.getByRole("textbox", { name: "Name" }).fill("Work")
  await page.getByRole("button", { name: "Create vault" }).click()
  await page.locator(".vault-name", { hasText: "Work" }).waitFor()
  const second = addressOf(page)
  await page.reload()
  await page.locator(".vault-name", { hasText: "Work" }).waitFor()
  await page.evaluate(addresses => addresses.forEach(address => (location.hash = address)), [first, second])
  // What must not come may come late.
  await page.waitForTimeout(500)
  assert.equal(await page.locator(".vault-name").textContent(), "Work")
  await page.evaluate(address => (location.hash = address), first)
  await page.locator(".vault-name", { hasText: "Notes" }).waitFor()
})

inBrowser("what is pressed is clicked, though it changes meanwhile", async person => {
  const ann = await begun(person)
  const { page } = ann
  await ann.write("Soup", "hot water")
  await ann.write("Bread", "")
  const other = await secondTab(ann)
  const press = async place => {
    const { x, y, width, height } = await place.boundingBox()
    await page.mouse.move(x + width / 2, y + height / 2)
    await page.mouse.down()
  }
  await press(page.locator(".row", { hasText: "Soup" }))
  await other.locator(".row", { hasText: "Soup" }).click()
  await other.getByLabel("Text", { exact: true }).fill("cold water")
  await page.locator(".row", { hasText: "hot water" }).waitFor()
  await page.waitForFunction(() => indexedDB && document.documentElement.dataset.saved !== "no")
  await page.mouse.up()
  await ann.reads("cold water")
  await page.locator(".row", { hasText: "cold water" }).waitFor()

  await press(page.locator(".place", { hasText: "Templates" }))
  await other.locator(".list").getByRole("button", { name: "New note" }).click()
  await count(page, 3)
  await page.mouse.up()
  await page.locator(".list h2", { hasText: "Templates" }).waitFor()
  await page.locator(".place", { hasText: "All notes" }).locator(".count", { hasText: "3" }).waitFor()
})

const addressOf = page => new URL(page.url()).hash

async function vaultItem(page, name) {
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name }).click()
}

async function theme(page, value) {
  await page.keyboard.press("Control+,")
  await page.getByLabel("Appearance").selectOption(value)
  await page.getByRole("button", { name: "Done" }).click()
}
