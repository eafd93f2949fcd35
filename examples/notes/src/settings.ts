/** What a person chose on this device. */
export interface Settings {
  readonly theme: "system" | "light" | "dark"
  readonly font: "sans" | "mono"
  readonly order: "updated" | "created" | "title"
  /** Whether keys work by themselves, outside of texts: `n`, `/`, `?`. */
  readonly singleKeys: boolean
  readonly isSidebarShown: boolean
  readonly isPanelShown: boolean
  readonly isReading: boolean
  /** Whether the browser is woken, and says so, when notes change while the app is closed. */
  readonly isTold: boolean
  /** Folders that are closed. */
  readonly closed: readonly string[]
  /** What others see of who writes. */
  readonly person: string
  /** What was looked at last: a vault, and a note in each. */
  readonly vault: string
  /** What vaults are called, by their ids. */
  readonly names: Readonly<Record<string, string>>
}

const INITIAL: Settings = {
  theme: "system",
  font: "sans",
  order: "updated",
  singleKeys: true,
  isSidebarShown: true,
  isPanelShown: false,
  isReading: false,
  isTold: false,
  closed: [],
  person: "",
  vault: "",
  names: {},
}

/** Of each tab by itself: there, what another one chooses counts from the next start. */
const OWN = ["vault", "closed", "isSidebarShown", "isPanelShown", "isReading"] as const

const KEY = "notes:settings"
const listeners = new Set<(settings: Settings) => void>()
let current = load()

/** What is chosen now. */
export function settings(): Settings {
  return current
}

export function choose(chosen: Partial<Settings>): void {
  current = { ...current, ...chosen }
  try {
    // What other tabs chose stays.
    const kept = load()
    localStorage.setItem(KEY, JSON.stringify({ ...kept, ...chosen, names: { ...kept.names, ...chosen.names } }))
  } catch {
    // Where nothing can be kept it counts until the tab is closed.
  }
  tell()
}

function tell(): void {
  for (const listener of listeners) listener(current)
}

/** Another tab chose something. */
window.addEventListener("storage", ({ key }) => {
  if (key !== KEY) return
  current = { ...load(), ...Object.fromEntries(OWN.map(name => [name, current[name]])) }
  tell()
})

export function onChosen(listener: (settings: Settings) => void): void {
  listeners.add(listener)
}

/** What is kept may be of another version, or damaged: of each setting only what it can be counts. */
function load(): Settings {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Record<keyof Settings, unknown>>
    const fitting = Object.entries(kept).filter(([key, value]) => {
      const initial = INITIAL[key as keyof Settings]
      return initial !== undefined && typeof value === typeof initial && Array.isArray(value) === Array.isArray(initial)
    })
    return { ...INITIAL, ...(Object.fromEntries(fitting) as Partial<Settings>) }
  } catch {
    return INITIAL
  }
}
