type Child = Node | string | undefined | false

/** Makes an element: `on…` are listeners, true and false switch attributes, the rest are attributes. Nothing is parsed. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, unknown>> = {},
  ...children: readonly (Child | readonly Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener)
    else setAttribute(element, name, value)
  }
  fill(element, ...children)
  return element
}

/** Sets an attribute, or takes it away. Nothing is set that the element has already. */
export function setAttribute(element: Element, name: string, value: unknown): void {
  if (value === undefined || value === false) element.removeAttribute(name)
  else if (element.getAttribute(name) !== (value === true ? "" : String(value))) {
    element.setAttribute(name, value === true ? "" : String(value))
  }
}

/** Has an element have these children. Those that it has stay where they are, and what is focused there stays focused. */
export function fill(element: Element, ...children: readonly (Child | readonly Child[])[]): void {
  const wanted = (children.flat() as Child[])
    .filter(child => child !== undefined && child !== false)
    .map(child => (typeof child === "string" ? document.createTextNode(child) : child))
  const kept = new Set<Node>(wanted)
  for (const child of [...element.childNodes]) if (!kept.has(child)) child.remove()
  wanted.forEach((child, at) => {
    if (element.childNodes[at] !== child) element.insertBefore(child, element.childNodes[at] ?? null)
  })
}

/** Sets the text of an element, if it is another one. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Has arrow keys go from one to the next of an element's stops, of which Tab finds one. */
export function rove(element: HTMLElement, stops: () => readonly HTMLElement[], isAcross = false): void {
  const [forward, back] = isAcross ? ["ArrowRight", "ArrowLeft"] : ["ArrowDown", "ArrowUp"]
  element.addEventListener("keydown", event => {
    const all = stops()
    const at = all.findIndex(stop => stop.contains(event.target as Node))
    const to = { [forward]: at + 1, [back]: at - 1, Home: 0, End: all.length - 1 }[event.key]
    const next = to === undefined ? undefined : all[to]
    if (at < 0 || !next) return
    event.preventDefault()
    next.focus()
  })
  element.addEventListener("focusin", event => {
    const all = stops()
    if (!all.some(stop => stop === event.target)) return
    for (const stop of all) stop.tabIndex = stop === event.target ? 0 : -1
  })
}
