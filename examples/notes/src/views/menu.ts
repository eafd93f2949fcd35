import { h, icon } from "./dom.js"
import type { IconName } from "./icons.js"

/** A line of a menu; `undefined` is a rule between lines. */
export interface MenuItem {
  readonly label: string
  readonly icon?: IconName
  readonly keys?: string
  readonly isChecked?: boolean
  readonly isDanger?: boolean
  run(): void
}

let close: (() => void) | undefined

/**
 * Opens a menu below a button, or in the middle for the whole page. Escape, Tab and a click elsewhere close it, and what had the focus has it
 * again.
 */
export function openMenu(anchor: HTMLElement, label: string, items: readonly (MenuItem | undefined)[]): void {
  close?.()
  const isButton = anchor instanceof HTMLButtonElement
  const before = isButton ? anchor : document.activeElement instanceof HTMLElement ? document.activeElement : undefined
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label, popover: "manual" })
  const end = (refocus: boolean) => {
    menu.remove()
    if (isButton) anchor.setAttribute("aria-expanded", "false")
    document.removeEventListener("pointerdown", outside, true)
    close = undefined
    if (refocus) before?.focus()
  }
  const outside = (event: Event) => event.target instanceof Node && !menu.contains(event.target) && end(false)
  const choose = (item: MenuItem) => {
    end(true)
    item.run()
  }
  menu.append(...items.map(item => (item ? line(item, () => choose(item)) : h("hr", {}))))
  menu.addEventListener("keydown", event => onKey(event, menu, () => end(true)))
  // Where it is opened, so that it is not behind a dialog, and found there by who does not see it.
  ;(anchor.closest("dialog, nav, main") ?? document.querySelector("main") ?? document.body).append(menu)
  menu.showPopover()
  put(menu, anchor)
  if (isButton) anchor.setAttribute("aria-expanded", "true")
  document.addEventListener("pointerdown", outside, true)
  close = () => end(false)
  lines(menu)[0]?.focus()
}

function line(item: MenuItem, run: () => void): HTMLElement {
  const { isChecked } = item
  const role = isChecked === undefined ? "menuitem" : "menuitemcheckbox"
  const attributes = {
    type: "button",
    role,
    tabindex: "-1",
    "aria-checked": isChecked,
    class: item.isDanger ? "danger" : undefined,
  }
  const picture = isChecked ? icon("check") : item.icon ? icon(item.icon) : h("span", { class: "icon" })
  return h("button", { ...attributes, "aria-checked": isChecked === undefined ? undefined : String(isChecked), onclick: run }, [
    picture,
    h("span", { class: "label" }, item.label),
    item.keys && h("kbd", {}, item.keys),
  ])
}

const lines = (menu: HTMLElement) => [...menu.querySelectorAll<HTMLElement>("button")]

function onKey(event: KeyboardEvent, menu: HTMLElement, end: () => void): void {
  const all = lines(menu)
  const at = all.indexOf(document.activeElement as HTMLElement)
  const go = (to: number) => all.at(to % all.length)?.focus()
  const typed = event.key.length === 1 ? event.key.toLowerCase() : undefined
  if (event.key === "ArrowDown") go(at + 1)
  else if (event.key === "ArrowUp") go(at - 1)
  else if (event.key === "Home") go(0)
  else if (event.key === "End") go(-1)
  else if (event.key === "Escape" || event.key === "Tab") end()
  else if (typed && /\S/.test(typed) && !event.ctrlKey && !event.metaKey) {
    const order = [...all.slice(at + 1), ...all.slice(0, at + 1)]
    order.find(line => line.textContent?.trim().toLowerCase().startsWith(typed))?.focus()
  } else return
  event.preventDefault()
  event.stopPropagation()
}

/** Below the anchor, or above it, and always in the window. */
function put(menu: HTMLElement, anchor: HTMLElement): void {
  const { offsetWidth: width, offsetHeight: height } = menu
  const middle = new DOMRect((innerWidth - width) / 2, innerHeight * 0.15, 0, 0)
  const at = anchor === document.body ? middle : anchor.getBoundingClientRect()
  const left = Math.max(8, Math.min(at.left, innerWidth - width - 8))
  const below = at.bottom + 4
  const top = below + height > innerHeight - 8 ? Math.max(8, at.top - height - 4) : below
  menu.style.left = `${left}px`
  menu.style.top = `${top}px`
}
