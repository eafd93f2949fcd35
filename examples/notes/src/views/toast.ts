import { fill, h } from "./dom.js"

/** How long something is said, unless it can be answered. */
const SHOWN_MS = 4000
const ANSWERABLE_MS = 8000

const place = h("div", { class: "toast", role: "status", hidden: true })
let timer: ReturnType<typeof setTimeout> | undefined

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
