import { requestPersistence } from "@selvedge/client"
import { keysLabel, type Command } from "../commands.js"
import { reasonOf, type App } from "../app.js"
import { tellOfChanges } from "../notices.js"
import { choose, settings, type Settings } from "../settings.js"
import { action, openDialog } from "./dialog.js"
import { h } from "./dom.js"
import { toast } from "./toast.js"

/** What a person can choose. */
export function showPreferences(app: App): void {
  const dialog = openDialog("Settings", { class: "small" })
  const person = h("input", {
    type: "text",
    value: settings().person,
    maxlength: 40,
    placeholder: "Somebody",
    autocomplete: "name",
  })
  person.addEventListener("change", () => choose({ person: person.value.trim() }))
  const keep = async () =>
    toast((await requestPersistence()) ? "The browser keeps your notes." : "The browser did not promise to keep them.")
  dialog.body.append(
    select("Appearance", "theme", [
      ["system", "as the system"],
      ["light", "light"],
      ["dark", "dark"],
    ]),
    select("Text while writing", "font", [
      ["sans", "sans-serif"],
      ["mono", "fixed width"],
    ]),
    select("Sort notes by", "order", [
      ["updated", "last edited"],
      ["created", "created"],
      ["title", "title"],
    ]),
    h("label", { class: "field" }, h("span", {}, "Your name, for people in shared vaults"), person),
    toggle("Single keys", "Keys such as n and / work while no text is written.", "singleKeys"),
    notices(app),
    h(
      "div",
      { class: "line" },
      h("span", {}, "Ask the browser to keep the notes when space is short"),
      action("Ask", () => void keep()),
    ),
    h("p", { class: "quiet" }, `This device: ${app.workspace.device.slice(0, 16)}…`),
    h("footer", {}, action("Done", dialog.close, "main")),
  )
}

function select<K extends "theme" | "font" | "order">(
  label: string,
  key: K,
  options: readonly (readonly [Settings[K], string])[],
): HTMLElement {
  const chosen = settings()[key]
  const made = options.map(([value, name]) => h("option", { value, selected: value === chosen }, name))
  const list = h("select", { onchange: () => choose({ [key]: list.value } as Partial<Settings>) }, ...made)
  return h("label", { class: "line" }, h("span", {}, label), list)
}

function toggle(label: string, text: string, key: "singleKeys"): HTMLElement {
  const box = h("input", { type: "checkbox", checked: settings()[key], onchange: () => choose({ [key]: box.checked }) })
  return h("label", { class: "check" }, box, h("span", {}, h("strong", {}, label), h("span", { class: "quiet" }, text)))
}

/** The browser asks the person, and the relay must be one that wakes: where either says no, it stays as it was. */
function notices(app: App): HTMLElement {
  const change = async () => {
    const isTold = box.checked
    try {
      await tellOfChanges(app, isTold)
      choose({ isTold })
    } catch (error) {
      box.checked = settings().isTold
      toast(`That did not work: ${reasonOf(error)}.`)
    }
  }
  const box = h("input", { type: "checkbox", checked: settings().isTold, onchange: () => void change() })
  const title = h("strong", {}, "Tell me about changes when the app is closed")
  const text = "By a notification. Your browser's maker learns when something changes, and not what."
  return h("label", { class: "check" }, box, h("span", {}, title, h("span", { class: "quiet" }, text)))
}

/** Every key there is. */
export function showKeys(commands: readonly Command[]): void {
  const dialog = openDialog("Keys", { class: "wide" })
  const groups = [...new Set(commands.map(({ group }) => group))]
  const line = ({ title, keys }: Command) => [h("dt", {}, title), h("dd", {}, ...keyElements(keys as string))]
  const section = (group: string) => {
    const own = commands.filter(command => command.group === group && command.keys)
    return own.length > 0 && h("section", {}, h("h3", {}, group), h("dl", {}, ...own.flatMap(line)))
  }
  dialog.body.append(h("div", { class: "keys" }, ...groups.map(section).filter(part => part !== false)))
}

function keyElements(keys: string): (HTMLElement | string)[] {
  return keysLabel(keys)
    .split(" then ")
    .flatMap((stroke, at) => (at > 0 ? [" then ", h("kbd", {}, stroke)] : [h("kbd", {}, stroke)]))
}
