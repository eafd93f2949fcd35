// Tests in Chromium: each person has a profile of their own, and a test fails if any page says anything on its console.
import assert from "node:assert/strict"
import { test } from "node:test"
import { chromium } from "playwright-core"
import { browserBy, noBrowser } from "../../../packages/client/test/chromium.js"
import { inProfiles, LIMIT, withTries } from "../../../packages/client/test/tries.js"
import { inTime, WAIT_MS } from "../../../packages/client/test/waits.js"
import { startAlone } from "./built.js"

const theBrowser = browserBy(chromium)

/**
 * A test in a browser. `run` gets what makes people, the site they are on, and what has something of its own closed afterwards; `start` starts another
 * than the built app by itself.
 */
export function inBrowser(name, run, { start = startAlone, isSkipped = false } = {}) {
  const attempt = async () => {
    const browser = await theBrowser()
    const site = await start()
    const [people, others] = [[], []]
    const keep = other => {
      others.push(other)
      return other
    }
    const person = async (options = {}) => {
      const made = await Person.come(browser, site, options)
      people.push(made)
      return made
    }
    const work = async () => {
      await run(person, site, keep)
      for (const { said } of people) assert.deepEqual(said, [], "what consoles said")
    }
    try {
      await inProfiles(() => [...people.map(({ context }) => context), ...others], work)
    } finally {
      await site.stop()
    }
  }
  test(name, { ...LIMIT, skip: noBrowser || isSkipped }, t => withTries(t, attempt))
}

/** Somebody with a browser. */
export class Person {
  /** What consoles said. */
  said = []
  #expected = []

  static async come(browser, site, options) {
    const made = browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options })
    const context = await inTime(made, "a profile")
    const person = new Person()
    await person.sitDown(context, site)
    return person
  }

  /** Comes to a browser. */
  async sitDown(context, site) {
    this.context = context
    this.site = site
    context.setDefaultTimeout(WAIT_MS)
    context.on("console", message => this.#hear(`${message.type()}: ${message.text()}`))
    context.on("weberror", error => this.#hear(`uncaught: ${error.error().message}`))
    this.page = await context.newPage()
  }

  /** What the test provokes the browser to say. */
  mayHear(pattern) {
    this.#expected.push(pattern)
  }

  async visit(path = "/") {
    await this.page.goto(this.site.origin + path)
  }

  /** Founds a vault, as somebody does who is here for the first time. */
  async found({ name = "Notes", isEncrypted = false, examples = true } = {}) {
    const { page } = this
    await page.getByLabel("Name").fill(name)
    if (isEncrypted) await page.getByText("Encrypt it").click()
    if (!examples) await page.getByText("Begin with a few notes").click()
    await page.getByRole("button", { name: "Create vault" }).click()
    await page.locator("dialog").waitFor({ state: "detached" })
    await page.locator(".vault-name", { hasText: name }).waitFor({ state: "attached" })
  }

  /** Waits until a vault is open: buttons and keys are there before, and do nothing. */
  async arrived() {
    await this.page.locator(".vault-name:not(:empty)").waitFor({ state: "attached" })
  }

  /** Writes a note. */
  async write(title, body = "") {
    const { page } = this
    await this.arrived()
    await page.locator(".list").getByRole("button", { name: "New note" }).click()
    const field = page.getByLabel("Title", { exact: true })
    await field.fill(title)
    await field.press("Enter")
    if (body) await this.text.fill(body)
    await page.locator(".row", { hasText: title }).first().waitFor()
  }

  /** Waits until everything is on the disk. */
  async saved() {
    await this.page.locator("html[data-saved=yes]").waitFor({ state: "attached" })
  }

  /** Waits until everything is at the relay: what was typed is on the disk first. */
  async synced() {
    await this.saved()
    await this.page.locator(".status", { hasText: "Synced" }).waitFor()
  }

  /** Has a note with this text open, sooner or later. */
  async reads(text) {
    await this.page.waitForFunction(text => document.querySelector("textarea")?.value === text, text)
  }

  /** Lets somebody into the vault that is open, and returns the link. */
  async invite(rights = "can read and write") {
    const { page } = this
    await page.locator(".vault-button").click()
    await page.getByRole("menuitem", { name: "Share this vault" }).click()
    await page.getByLabel("What they may do").selectOption({ label: rights })
    await page.getByRole("button", { name: "Make a link" }).click()
    const link = page.locator("input.secret")
    await page.waitForFunction(() => document.querySelector("input.secret").value !== "")
    const text = await link.inputValue()
    await page.keyboard.press("Escape")
    return text
  }

  /** Opens a link that somebody sent. */
  async join(link, name) {
    await this.page.goto(link)
    await this.page.locator(".vault-name", { hasText: name }).waitFor()
  }

  /** The network is gone, with a version of the app that starts without one. */
  async goOffline() {
    this.mayHear(/net::ERR_INTERNET_DISCONNECTED|WebSocket|Failed to load resource/)
    await this.page.evaluate(() => navigator.serviceWorker.ready)
    await this.context.setOffline(true)
  }

  /** Adds a tag to the note that is open. */
  async tag(tag) {
    const field = this.page.getByLabel("Add a tag")
    await field.fill(tag)
    await field.press("Enter")
    await this.page.locator(".chip.own", { hasText: `#${tag}` }).waitFor()
  }

  /** Writes at an end of the text that is open. */
  async type(text, end = "End") {
    await this.text.focus()
    await this.page.keyboard.press(`Control+${end}`)
    await this.page.keyboard.type(text)
  }

  get text() {
    return this.page.getByLabel("Text", { exact: true })
  }

  /** Opens a note by its title, wherever it is in the list. */
  async open(title) {
    await this.arrived()
    await this.page.keyboard.press("Control+k")
    await this.page.getByRole("combobox", { name: "Find a note" }).fill(title)
    await this.page.keyboard.press("Enter")
    await this.page.waitForFunction(title => document.querySelector("input.title").value === title, title)
  }

  /** Does something of which the app tells in passing: that is soon gone, and so it is waited for from the start. */
  async isTold(text, act) {
    await Promise.all([this.page.getByText(text).waitFor(), act()])
  }

  row(title) {
    return this.page.locator(".row", { hasText: title })
  }

  /** Does a command by its name. */
  async command(title) {
    await this.arrived()
    await this.page.keyboard.press("Control+Shift+P")
    await this.page.getByRole("combobox", { name: "Find a note" }).fill(`> ${title}`)
    await this.page.keyboard.press("Enter")
  }

  #hear(what) {
    if (!this.#expected.some(pattern => pattern.test(what))) this.said.push(what)
  }
}
