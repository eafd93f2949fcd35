import { read } from "../text/markdown.js"
import { mount } from "./dom.js"

export { toggleTask } from "../text/markdown.js"

/** A note as it is read. */
export function render(body: string, isThere: (title: string) => boolean, isTickable: boolean): DocumentFragment {
  const page = mount(read(body, { isThere }).views)
  if (!isTickable) for (const box of page.querySelectorAll("input")) box.disabled = true
  return page
}
