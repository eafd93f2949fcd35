import { h, iconButton } from "./dom.js"

/** A dialog that is open. */
export interface Opened {
  readonly element: HTMLDialogElement
  readonly body: HTMLElement
  close(): void
}

let last = 0

/** Opens a dialog. Escape and a click beside it close it, and what had the focus has it again. */
export function openDialog(title: string, options: { readonly class?: string; readonly onClose?: () => unknown } = {}): Opened {
  const id = `dialog-${++last}`
  const body = h("div", { class: "dialog-body" })
  const head = h("header", {}, h("h2", { id }, title), iconButton("close", "Close", { onclick: () => element.close() }))
  const element = h("dialog", { class: `dialog ${options.class ?? ""}`, "aria-labelledby": id }, head, body)
  return show(element, body, options.onClose)
}

/** A dialog without a head, such as the palette. */
export function openBare(label: string, className: string): Opened {
  const element = h("dialog", { class: className, "aria-label": label })
  return show(element, element)
}

function show(element: HTMLDialogElement, body: HTMLElement, onClose?: () => unknown): Opened {
  const before = document.activeElement
  const backToCaret = caretOf(before)
  element.addEventListener("close", () => {
    backToCaret()
    element.remove()
    if (before instanceof HTMLElement && document.activeElement === document.body) before.focus()
    onClose?.()
  })
  element.addEventListener("pointerdown", event => {
    if (event.target !== element || !isBeside(event, element)) return
    if (element.dispatchEvent(new Event("cancel", { cancelable: true }))) element.close()
  })
  document.body.append(element)
  element.showModal()
  return { element, body, close: () => (element.close(), backToCaret()) }
}

/** Browsers give a text its focus back, and not always its caret: what is typed then would go nowhere. This does, once. */
function caretOf(field: Element | null): () => void {
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) return () => undefined
  const { selectionStart, selectionEnd } = field
  let isBack = selectionStart === null
  return () => {
    if (!isBack && document.activeElement === field) field.setSelectionRange(selectionStart, selectionEnd)
    isBack = true
  }
}

function isBeside({ clientX, clientY }: PointerEvent, element: HTMLElement): boolean {
  const { left, right, top, bottom } = element.getBoundingClientRect()
  return clientX < left || clientX > right || clientY < top || clientY > bottom
}

/** A button of a dialog. */
export function action(label: string, run: () => void, kind: "main" | "plain" | "danger" = "plain"): HTMLButtonElement {
  return h("button", { type: "button", class: `button ${kind}`, onclick: run }, label)
}

/** Asks whether to do something that cannot be taken back. */
export function confirm(title: string, text: string, label: string): Promise<boolean> {
  return new Promise(resolve => {
    let answer = false
    const dialog = openDialog(title, { class: "small", onClose: () => resolve(answer) })
    const yes = () => ((answer = true), dialog.close())
    const no = action("Cancel", dialog.close)
    dialog.body.append(h("p", {}, text), h("footer", {}, no, action(label, yes, "danger")))
    no.focus()
  })
}

/** Asks for a line of text; undefined if nobody gave one. */
export function ask(title: string, label: string, value = "", button = "Save"): Promise<string | undefined> {
  return new Promise(resolve => {
    let answer: string | undefined
    const dialog = openDialog(title, { class: "small", onClose: () => resolve(answer) })
    const input = h("input", { type: "text", value, maxlength: 200, required: true, autocomplete: "off" })
    const submit = (event: Event) => {
      event.preventDefault()
      answer = input.value.trim() || undefined
      dialog.close()
    }
    const field = h("label", { class: "field" }, h("span", {}, label), input)
    const save = h("button", { type: "submit", class: "button main" }, button)
    dialog.body.append(h("form", { onsubmit: submit }, field, h("footer", {}, action("Cancel", dialog.close), save)))
    input.focus()
    input.select()
  })
}
