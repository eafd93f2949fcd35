import assert from "node:assert/strict"
import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

const WHY = "You can read this vault, and not write in it."

for (const isEncrypted of [false, true]) {
  served(
    `who came to read ${isEncrypted ? "an encrypted vault" : "a vault"} is told so, and finds nothing to type into`,
    async person => {
      const [ann, ben] = [await person(), await person()]
      await ann.visit()
      await ann.found({ name: "Ours", isEncrypted, examples: false })
      await ann.write("Plan", "- [ ] one [[Nowhere]]\n")
      await ann.tag("trip")
      await ann.synced()
      await ben.join(await ann.invite("can read"), "Ours")
      const { page } = ben
      await page.getByText(WHY).waitFor()
      await ben.row("Plan").click()
      await page.locator(".page", { hasText: "one" }).waitFor()

      const button = name => page.getByRole("button", { name, exact: true })
      for (const name of ["New note", "New folder", "Edit", "Pin", "Bold"]) assert.equal(await button(name).count(), 0, name)
      assert.equal(await page.getByLabel("Title", { exact: true }).getAttribute("readonly"), "")
      assert.equal(await ben.text.isVisible(), false)
      assert.equal(await page.getByLabel("Add a tag").count(), 0)
      assert.equal(await page.getByRole("button", { name: "Remove the tag trip" }).count(), 0)
      assert.equal(await page.locator(".page input[type=checkbox]").isDisabled(), true)
      const nowhere = page.locator(".page a", { hasText: "Nowhere" })
      await ben.isTold("There is no note called “Nowhere”.", () => nowhere.click())
      const today = page.locator(".place", { hasText: "Today" })
      await ben.isTold("Nobody has begun a note of today.", () => today.click())
      await button("More").click()
      assert.deepEqual(await page.getByRole("menuitem").allTextContents(), ["History", "Copy a link", "Export as Markdown"])
      await page.keyboard.press("Escape")
      await page.locator(".vault-button").click()
      const share = page.getByRole("menuitem", { name: "Share this vault" })
      await share.waitFor()
      assert.equal(await page.getByRole("menuitem", { name: "Rename this vault" }).count(), 0)
      await ben.isTold("Only who founded this vault can let others in", () => share.click())

      // No key does what no button does.
      await page.locator(".rows").focus()
      for (const key of ["n", "t", "e", "p", "m", "Delete", "Control+Backspace", "Control+e", "Control+z"])
        await page.keyboard.press(key)
      await page.keyboard.press("Control+k")
      await page.getByRole("combobox", { name: "Find a note" }).fill("Something new")
      await page.getByText("Nothing fits.").waitFor()
      await page.keyboard.press("Escape")
      assert.deepEqual(await page.locator(".row-title").allTextContents(), ["Plan"])

      // What others write comes all the same, and nothing waits here.
      await ann.type("two")
      await page.locator(".page", { hasText: "two" }).waitFor()
      await ben.synced()
      await page.reload()
      await page.getByText(WHY).waitFor()
      await ben.row("Plan").click()
      await page.locator(".page", { hasText: "two" }).waitFor()
    },
  )
}

served("a reader of an encrypted vault who is sent a link for writing is told what to do", async person => {
  const [ann, ben] = [await person(), await person()]
  await ann.visit()
  await ann.found({ name: "Ours", isEncrypted: true, examples: false })
  await ann.write("Plan", "one\n")
  await ann.synced()
  await ben.join(await ann.invite("can read"), "Ours")
  await ben.page.getByText(WHY).waitFor()
  const link = await ann.invite("can read and write")
  await ben.isTold("no link changes what a member may do: have it taken out", () => ben.page.goto(link))
  // The vault is there as it was.
  await ben.page.getByText(WHY).waitFor()
  await ben.row("Plan").waitFor()
})

served("a reader who is sent a link for writing can write", async person => {
  const [ann, ben] = [await person(), await person()]
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Plan", "one\n")
  await ann.synced()
  await ben.join(await ann.invite("can read"), "Ours")
  await ben.page.getByText(WHY).waitFor()
  await ben.page.goto(await ann.invite("can read and write"))
  await ben.page.getByText(WHY).waitFor({ state: "detached" })
  await ben.row("Plan").click()
  await ben.type("two")
  await ann.row("Plan").click()
  await ann.reads("one\ntwo")
  await ben.synced()
})
