import { inBrowser } from "./browser.js"
import { noRelay, Up } from "./up.js"

const run = async person => {
  const ann = await person()
  await ann.visit()
  await ann.found({ examples: false })
  await ann.write("Plan", "begun")
  await ann.saved()
  const url = ann.page.url()
  await ann.text.focus()
  await ann.page.keyboard.press("Control+End")
  await ann.page.keyboard.type(" and left")
  await ann.page.goto("about:blank")
  await ann.page.goto(url)
  await ann.page.waitForFunction(() => document.querySelector("textarea")?.value === "begun and left")
}

const withRelay = { start: () => Up.start(), isSkipped: noRelay }
inBrowser("what was typed the moment before a page is left is there when it comes back", run, withRelay)
