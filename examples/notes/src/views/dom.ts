import type { Shape, View } from "../text/markdown.js"
import { icons, type IconName } from "./icons.js"

type Child = Node | string | undefined | false
type Handlers = { readonly [E in keyof HTMLElementEventMap as `on${E}`]?: (event: HTMLElementEventMap[E]) => void }
type Values = { readonly [name: string]: unknown }

/** Makes an element: `on…` are listeners, true and false switch attributes, the rest are attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Handlers & Values = {},
  ...children: readonly (Child | readonly Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener)
    else setAttribute(element, name, value)
  }
  append(element, children)
  return element
}

/** Sets an attribute, or takes it away. Nothing is set that the element has already. */
export function setAttribute(element: Element, name: string, value: unknown): void {
  if (value === undefined || value === false || value === null) element.removeAttribute(name)
  else if (element.getAttribute(name) !== (value === true ? "" : String(value))) {
    element.setAttribute(name, value === true ? "" : String(value))
  }
}

function append(element: Element, children: readonly (Child | readonly Child[])[]): void {
  for (const child of children.flat() as Child[]) if (child !== undefined && child !== false) element.append(child)
}

/** Puts children in place of those that are there. */
export function fill(element: Element, ...children: readonly (Child | readonly Child[])[]): void {
  element.replaceChildren()
  append(element, children)
}

/** Sets the text of an element, if it is another one. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

const SVG = "http://www.w3.org/2000/svg"

/** A picture of 20 by 20, in the colour of the text. */
export function icon(name: IconName): SVGElement {
  const svg = document.createElementNS(SVG, "svg")
  svg.setAttribute("viewBox", "0 0 20 20")
  svg.setAttribute("class", "icon")
  svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS(SVG, "path")
  path.setAttribute("d", icons[name])
  svg.append(path)
  return svg
}

/** A button that is a picture; its name is read out, and shown when it is pointed at. */
export function iconButton(name: IconName, label: string, attributes: Handlers & Values = {}): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, ...attributes }, icon(name))
}

/** Makes elements of what a note looks like. Text is text and attributes are ours: nothing is parsed. */
export function mount(views: readonly View[]): DocumentFragment {
  const fragment = document.createDocumentFragment()
  for (const view of views) fragment.append(typeof view === "string" ? view : element(view))
  return fragment
}

function element({ tag, attributes, children }: Shape): HTMLElement {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(mount(children))
  return made
}

/** Calls `run` once before the next picture, however often it was asked for; `now` does not wait for it. */
export function onceAFrame(run: () => void): { (): void; now(): void } {
  let frame: number | undefined
  const now = () => {
    if (frame === undefined) return
    cancelAnimationFrame(frame)
    frame = undefined
    run()
  }
  const ask = () => {
    frame ??= requestAnimationFrame(now)
  }
  return Object.assign(ask, { now })
}

/** Calls `run` when nobody has asked for it any more for so long. */
export function whenQuiet(ms: number, run: () => void): { (): void; now(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined
  const now = () => {
    if (timer === undefined) return
    clearTimeout(timer)
    timer = undefined
    run()
  }
  const ask = () => {
    clearTimeout(timer)
    timer = setTimeout(now, ms)
  }
  return Object.assign(ask, { now })
}

/**
 * What of an element is pressed, if anything is: a click is lost where another element takes that one's place before it is let go. `onEnd` is called
 * behind the click.
 */
export function watchPress(element: HTMLElement, wanted: string, onEnd: () => void): { readonly element: Element | undefined } {
  const press: { element: Element | undefined } = { element: undefined }
  const end = () => {
    if (!press.element) return
    press.element = undefined
    onEnd()
  }
  element.addEventListener("pointerdown", ({ target, isPrimary, button, ctrlKey }) => {
    // What opens a menu is never let go, for some browsers.
    if (isPrimary && button === 0 && !ctrlKey) press.element = (target as Element).closest(wanted) ?? undefined
  })
  for (const type of ["pointerup", "pointercancel", "contextmenu", "dragend", "blur"]) window.addEventListener(type, end)
  return press
}

/** Whether somebody is writing there. */
export function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName))
}

export const isMac = /Mac|iPhone|iPad/.test(navigator.platform)

/** Whether one pane is seen at a time, as on phones. */
export const isNarrow = () => matchMedia("(max-width: 760px)").matches
