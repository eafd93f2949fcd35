import { fill, h } from "./dom.js"

/** How long something is said, unless it can be answered. */
const SHOWN_MS = 4000
const ANSWERABLE_MS = 8000

const place = h("div", { class: "toast", role: "status", hidden: true })
let timer: ReturnType<typeof setTimeout> | undefined

/** Where it is left what the next page of this tab says. */
const NEXT = "notes:toast"

/** Where things are said. */
export const toastPlace = place

/** Says something in passing; with an answer, such as taking it back. */
export function toast(text: string, answer?: { readonly label: string; readonly run: () => void }): void {
  const close = () => (place.hidden = true)
  const button = answer && h("button", { type: "button", onclick: () => (close(), answer.run()) }, answer.label)
  fill(place, h("span", {}, text), button)
  place.hidden = false
  clearTimeout(timer)
  timer = setTimeout(close, answer ? ANSWERABLE_MS : SHOWN_MS)
}

/** Says something once the page was loaded anew. */
export function toastNext(text: string): void {
  try {
    sessionStorage.setItem(NEXT, text)
  } catch {
    // Where nothing can be kept it is not said.
  }
}

/** Says what was left for this page. */
export function toastLeft(): void {
  try {
    const text = sessionStorage.getItem(NEXT)
    sessionStorage.removeItem(NEXT)
    if (text) toast(text)
  } catch {
    // Nothing was left.
  }
}
