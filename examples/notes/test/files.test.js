import assert from "node:assert/strict"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { strToU8, unzipSync, zipSync } from "fflate"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const COUNT = 5000
const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

/** A vault of Obsidian, as people have them. */
function vault() {
  const files = { "Vault/.obsidian/app.json": strToU8("{}"), "Vault/picture.png": strToU8("no note") }
  for (let at = 0; at < COUNT; at++) {
    const folder = ["", "Work/", "Work/Projects/", "Home/"][at % 4]
    const head = at % 5 === 0 ? `---\ntags: [year${at % 10}, all]\ncreated: 2024-01-02T03:04:05Z\n---\n` : ""
    const text = `${head}Note number ${at} links [[Note ${(at + 1) % COUNT}]].\n\n${`word${at % 97} and word${at % 89} `.repeat(12)}\n`
    files[`Vault/${folder}Note ${at}.md`] = strToU8(text)
  }
  return zipSync(files, { level: 1 })
}

served("a vault of 5,000 notes comes in, is searched, and goes out again", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  await page.locator(".vault-button").click()
  await page.getByRole("menuitem", { name: "Import notes" }).click()
  await page
    .getByLabel("Files", { exact: true })
    .setInputFiles({ name: "Vault.zip", mimeType: "application/zip", buffer: Buffer.from(vault()) })
  await page.locator("dialog").getByText(`${COUNT} notes were imported.`).waitFor()
  await page.locator("dialog").getByText("1 files are no Markdown and were left out.").waitFor()
  await page.getByRole("button", { name: "Done" }).click()
  await page.locator(".list .count", { hasText: String(COUNT) }).waitFor()
  const rows = await page.locator(".row").count()
  assert.ok(rows > 5 && rows < 60, `${rows} rows of ${COUNT} are in the page`)
  await page.locator(".folder", { hasText: "Projects" }).waitFor()
  assert.deepEqual(await page.locator(".folder .place span:not(.count)").allTextContents(), ["Home", "Work", "Projects"])

  await page.locator(".tags .place", { hasText: "year5" }).waitFor()
  await page.getByLabel("Search notes").fill("number 4321")
  await page.locator(".row", { hasText: "Note 4321" }).first().click()
  await page.waitForFunction(() => document.querySelector("input.title").value === "Note 4321")
  assert.match(await ann.text.inputValue(), /^Note number 4321 links \[\[Note 4322\]\]/)

  await ann.saved()
  await page.reload()
  await page.locator(".list .count", { hasText: String(COUNT) }).waitFor()
  const [download] = await Promise.all([page.waitForEvent("download"), ann.command("Export notes")])
  const files = unzipSync(await readFile(await download.path()))
  assert.equal(Object.keys(files).length, COUNT)
  const text = new TextDecoder().decode(files["Work/Projects/Note 10.md"])
  assert.match(text, /^---\ntags:\n {2}- all\n {2}- year0\ncreated: 2024-01-02T03:04:05.000Z\nupdated: /)
})

served("files and folders are taken in where they are dropped, and a file beside a dialog is no page to go to", async person => {
  const ann = await person()
  const { page } = ann
  await ann.visit()
  await ann.found({ examples: false })
  const folder = await mkdtemp(join(tmpdir(), "notes-"))
  try {
    await mkdir(join(folder, "Work/Deep"), { recursive: true })
    await writeFile(join(folder, "Work/Deep/Plan.md"), "one\n")
    await writeFile(join(folder, "Work/Soup.md"), "two\n")
    await writeFile(join(folder, "Bread.md"), "three\n")
    await page.locator(".vault-button").click()
    await page.getByRole("menuitem", { name: "Import notes" }).click()
    await page.locator("dialog .drop").waitFor()
    await drop(ann, { x: 5, y: 5, files: [join(folder, "Bread.md")] })
    await page.keyboard.press("Escape")
    await page.locator("dialog").waitFor({ state: "detached" })
    await drop(ann, { x: 300, y: 300, files: [join(folder, "Work"), join(folder, "Bread.md")] })
    await page.locator("dialog").getByText("3 notes were imported.").waitFor()
    await page.getByRole("button", { name: "Done" }).click()
    assert.deepEqual((await page.locator(".row-title").allTextContents()).sort(), ["Bread", "Plan", "Soup"])
    assert.deepEqual(await page.locator(".folder .place span:not(.count)").allTextContents(), ["Work", "Deep"])
  } finally {
    await rm(folder, { recursive: true })
  }
})

/** Drags files of the disk over the page, and lets them go. */
async function drop({ context, page }, { x, y, files }) {
  const session = await context.newCDPSession(page)
  const data = { items: [], files, dragOperationsMask: 1 }
  for (const type of ["dragEnter", "dragOver", "drop"]) await session.send("Input.dispatchDragEvent", { type, x, y, data })
}
