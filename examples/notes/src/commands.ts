import type { App } from "./app.js"
import type { IconName } from "./views/icons.js"
import { isMac, isWriting } from "./views/dom.js"

/** Something that can be done, by a key, from the palette or a menu. */
export interface Command {
  readonly id: string
  readonly title: string
  readonly group: "Go to" | "Notes" | "Text" | "Vault" | "View"
  readonly icon?: IconName
  /** As `Mod+Shift+L`: Mod is Control, or Command on a Mac. Keys after each other are separated by a space, as `g d`. */
  readonly keys?: string
  /** It is written by the editor itself; here it is told only. */
  readonly isOfEditor?: boolean
  /** It writes in the vault, which not everybody may. */
  readonly isWriting?: boolean
  /** Where somebody writes, its key is what it is in every text: it takes back what was typed, or deletes a word. */
  readonly isOutsideTexts?: boolean
  /** A key that is held does it once. */
  readonly isOnce?: boolean
  /** Whether it can be done now. */
  isPossible?(app: App): boolean
  run(app: App): void
}

/** How long the second key of two is waited for. */
const SECOND_KEY_MS = 1200

/** Keys as people read them. */
export function keysLabel(keys: string): string {
  return keys
    .split(" ")
    .map(stroke =>
      stroke
        .split("+")
        .map(nameOf)
        .join(isMac ? "" : "+"),
    )
    .join(" then ")
}

function nameOf(key: string): string {
  const mac: Record<string, string> = { Mod: "⌘", Shift: "⇧", Alt: "⌥", Enter: "↩", Backspace: "⌫" }
  const other: Record<string, string> = { Mod: "Ctrl" }
  return (
    (isMac ? mac : other)[key] ??
    ({ ArrowUp: "↑", ArrowDown: "↓" } as Record<string, string>)[key] ??
    key.toUpperCase().replace(/^(.)(.+)$/, (_, a: string, b: string) => a + b.toLowerCase())
  )
}

/** Listens for the keys of commands. */
export function listen(app: App, commands: readonly Command[], areSingleKeysOn: () => boolean): void {
  let first: { key: string; at: number } | undefined
  document.addEventListener("keydown", event => {
    if (event.defaultPrevented || event.isComposing) return
    const stroke = strokeOf(event)
    const isSingle = !/(Mod|Alt)\+/.test(stroke)
    const isInText = isWriting(event.composedPath()[0] ?? null)
    const isBusy = isInText || document.querySelector("dialog[open], .menu") !== null
    if (isSingle && (isBusy || !areSingleKeysOn())) return
    if (!isSingle && document.querySelector("dialog[open]")) return
    const keys = first && event.timeStamp - first.at < SECOND_KEY_MS ? `${first.key} ${stroke}` : stroke
    const isPossible = (command: Command) => !command.isOfEditor && (command.isPossible?.(app) ?? true)
    const command = commands.find(command => command.keys === keys && isPossible(command))
    const isFirst = !command && isSingle && commands.some(({ keys }) => keys?.startsWith(`${stroke} `))
    first = isFirst ? { key: stroke, at: event.timeStamp } : undefined
    if (!command || (command.isOutsideTexts && isInText)) return
    event.preventDefault()
    if (!(command.isOnce && event.repeat)) command.run(app)
  })
}

/** What was pressed, as commands write it. */
export function strokeOf(event: KeyboardEvent): string {
  const isMod = isMac ? event.metaKey : event.ctrlKey
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  // Of a sign that is written with Shift, Shift is no part.
  const isShift = event.shiftKey && (event.key.length > 1 || /[a-z\d]/i.test(event.key))
  const digit = event.shiftKey && /^Digit\d$/.test(event.code) && (isMod || event.altKey) ? event.code.slice(5) : undefined
  return [isMod && "Mod", event.altKey && "Alt", (isShift || digit) && "Shift", digit ?? key].filter(Boolean).join("+")
}
