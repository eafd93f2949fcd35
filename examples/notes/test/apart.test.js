import assert from "node:assert/strict"
import { inBrowser } from "./browser.js"
import { Machine } from "./machine.js"
import { noRelay, Up } from "./up.js"

const served = (name, run) => inBrowser(name, run, { start: () => Up.start(), isSkipped: noRelay })

/** Everything that somebody sees of a vault: the folders, and of each note its title, text, tags and folder. */
async function seen({ page }) {
  const notes = []
  for (const title of (await page.locator(".row-title").allTextContents()).sort()) {
    await page.locator(".row", { hasText: title }).click()
    await page.waitForFunction(title => document.querySelector("input.title").value === title, title)
    const text = await page.getByLabel("Text", { exact: true }).inputValue()
    notes.push([title, text, (await page.locator(".note-tags .chip").allTextContents()).sort()])
  }
  return { notes, folders: await page.locator(".folder .place span:not(.count)").allTextContents() }
}

async function newFolder({ page }, name) {
  await page.getByRole("button", { name: "New folder" }).click()
  await page.getByLabel("Name").fill(name)
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.locator(".list h2", { hasText: name }).waitFor()
  await page.locator(".place", { hasText: "All notes" }).click()
  await page.locator(".list h2", { hasText: "All notes" }).waitFor()
}

async function moveTo({ page }, folder) {
  await page.locator(".note-tags .chip.quiet").click()
  await page.getByRole("menuitemcheckbox", { name: folder }).click()
  await page.locator(".note-tags .chip.quiet", { hasText: folder }).waitFor()
}

/** What a relay says to a device whose clock is wrong before it heard of the right one. */
const WRONG_CLOCK = /status of 4\d\d/

served("two people edit the same offline for a day, their browsers are killed, and nothing is lost", async (_, up, keep) => {
  const machines = [keep(await Machine.make()), keep(await Machine.make())]
  const [hers, his] = machines
  let [ann, ben] = [await hers.start(up), await his.start(up)]
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await newFolder(ann, "Trips")
  await ann.write("Plan", "one\n\nthree\n")
  await ann.synced()
  await ben.join(await ann.invite(), "Ours")
  await ben.row("Plan").click()
  await ben.reads("one\n\nthree\n")

  for (const one of [ann, ben]) await one.goOffline()
  await ann.row("Plan").click()
  await ann.type("anns ", "Home")
  await ann.tag("ann")
  await moveTo(ann, "Trips")
  await newFolder(ann, "Of Ann")
  await ann.write("By Ann", "alone")
  await ben.type("bens")
  await ben.tag("ben")
  await newFolder(ben, "Of Ben")
  await ben.write("By Ben", "alone")
  for (const one of [ann, ben]) await one.saved()
  await ann.page.close()
  for (const machine of machines) await machine.kill()

  // The next day, still without a network; what was written is there, and more is.
  ;[ann, ben] = [await hers.start(up, { days: 1, isOnline: false }), await his.start(up, { days: 1, isOnline: false })]
  for (const [one, name] of [
    [ann, "Ann"],
    [ben, "Ben"],
  ]) {
    await one.visit()
    await one.row(`By ${name}`).waitFor()
    await one.row("Plan").click()
    await one.page.locator(".chip.own", { hasText: `#${name.toLowerCase()}` }).waitFor()
    await one.tag(`${name.toLowerCase()}-again`)
    await one.type(` ${name} again`)
    await one.write(`Next day of ${name}`, "written a day later")
    await one.saved()
  }
  for (const machine of machines) await machine.kill()

  ;[ann, ben] = [await hers.start(up, { days: 1 }), await his.start(up, { days: 1 })]
  for (const one of [ann, ben]) one.mayHear(WRONG_CLOCK)
  for (const one of [ann, ben]) await one.visit()
  for (const one of [ann, ben]) {
    for (const title of ["By Ann", "By Ben", "Next day of Ann", "Next day of Ben"]) await one.row(title).waitFor()
    await one.synced()
  }
  await ann.row("Plan").click()
  const whole = text => ["anns ", "one\n\nthree\n", "bens", " Ann again", " Ben again"].every(part => text.includes(part))
  await ann.page.waitForFunction(parts => parts.every(part => document.querySelector("textarea").value.includes(part)), ["anns ", "bens", " Ann again", " Ben again"]) // prettier-ignore
  const text = await ann.text.inputValue()
  assert.ok(whole(text), text)
  await ben.row("Plan").click()
  await ben.reads(text)
  for (const one of [ann, ben]) {
    for (const tag of ["ann", "ben", "ann-again", "ben-again"])
      await one.page
        .locator(".chip.own", { hasText: `#${tag}` })
        .first()
        .waitFor()
    for (const folder of ["Of Ann", "Of Ben", "Trips"]) await one.page.locator(".folder", { hasText: folder }).waitFor()
  }
  assert.deepEqual(await seen(ann), await seen(ben))
  const { notes } = await seen(ann)
  assert.deepEqual(
    notes.map(([title]) => title),
    ["By Ann", "By Ben", "Next day of Ann", "Next day of Ben", "Plan"],
  )
  for (const machine of machines) assert.deepEqual(machine.person.said, [], "what consoles said")
})

for (const days of [1, -1]) {
  served(`a clock that is wrong by ${days} day loses nothing, and decides nothing`, async person => {
    const [ann, ben] = [await person(), await person()]
    await ann.context.addInitScript(days => {
      const now = Date.now.bind(Date)
      Date.now = () => now() + days * 86_400_000
    }, days)
    ann.mayHear(WRONG_CLOCK)
    await ann.visit()
    await ann.found({ name: "Ours", examples: false })
    await ann.write("Plan", "one\n")
    await ann.synced()
    await ben.join(await ann.invite(), "Ours")
    await ben.row("Plan").click()
    await ben.reads("one\n")

    // Who wrote last has the title, whatever the clocks say.
    const title = one => one.page.getByLabel("Title", { exact: true })
    const rename = async (one, name) => {
      await title(one).fill(name)
      await title(one).press("Enter")
    }
    await rename(ann, "From Ann")
    await ben.row("From Ann").click()
    await rename(ben, "From Ben")
    await ann.row("From Ben").waitFor()
    await rename(ann, "From Ann again")
    await ben.row("From Ann again").waitFor()

    for (const one of [ann, ben]) await one.goOffline()
    await ann.type("anns", "End")
    await ben.type("bens ", "Home")
    await ann.write("By Ann", "alone")
    await ben.write("By Ben", "alone")
    for (const one of [ann, ben]) await one.saved()
    await ann.page.reload()
    await ann.row("By Ann").waitFor()
    for (const one of [ann, ben]) await one.context.setOffline(false)
    for (const one of [ann, ben]) {
      for (const name of ["By Ann", "By Ben"]) await one.row(name).waitFor()
      await one.synced()
      await one.row("From Ann again").click()
      await one.reads("bens one\nanns")
    }
    assert.deepEqual(await seen(ann), await seen(ben))
  })
}

served("the tab that leads is killed, and what the others write goes on", async person => {
  const [ann, ben] = [await person(), await person()]
  const leader = ann.page
  await ann.visit()
  await ann.found({ name: "Ours", examples: false })
  await ann.write("Plan", "one ")
  await ann.synced()
  await ben.join(await ann.invite(), "Ours")
  await ben.row("Plan").click()
  const url = leader.url()
  const tabs = [await ann.context.newPage(), await ann.context.newPage()]
  for (const tab of tabs) {
    await tab.goto(url)
    await tab.waitForFunction(() => document.querySelector("textarea")?.value === "one ")
  }
  const [second, third] = tabs
  const write = async (tab, text) => {
    await tab.getByLabel("Text", { exact: true }).focus()
    await tab.keyboard.press("Control+End")
    await tab.keyboard.type(text)
  }
  await write(second, "two ")
  const devtools = await ann.context.newCDPSession(leader)
  const crashed = leader.waitForEvent("crash")
  devtools.send("Page.crash").catch(() => undefined)
  await crashed
  // What was on its way to the tab that is dead is told to the next that leads.
  await write(third, "three ")
  const both = text => ["two ", "three "].every(part => text.includes(part)) && text.length === "one two three ".length
  for (const page of [...tabs, ben.page]) {
    await page.waitForFunction(() => document.querySelector("textarea").value.length === "one two three ".length)
    assert.ok(both(await page.getByLabel("Text", { exact: true }).inputValue()))
  }
  for (const tab of tabs) await tab.locator("html[data-saved=yes]").waitFor({ state: "attached" })
  await leader.close()
  await second.reload()
  await second.waitForFunction(() => document.querySelector("textarea")?.value.length === "one two three ".length)
  await second.locator(".status", { hasText: "Synced" }).waitFor()
})
