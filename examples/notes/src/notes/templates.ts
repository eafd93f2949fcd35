/** What a template is filled with. */
export interface Filling {
  readonly title: string
  readonly now: Date
}

/** A text that was made of a template, and where to go on writing. */
export interface Filled {
  readonly text: string
  readonly caret: number | undefined
}

const DAY = 86_400_000

/** Fills in `{{date}}`, `{{date:dddd}}`, `{{time}}`, `{{title}}`, `{{yesterday}}`, `{{tomorrow}}`; `{{cursor}}` is where writing goes on. */
export function fill(template: string, { title, now }: Filling): Filled {
  const day = (days: number) => new Date(now.getTime() + days * DAY)
  const text = template.replace(
    /\{\{\s*(date|time|title|yesterday|tomorrow)(?::([^{}]{1,60}))?\s*\}\}/g,
    (_, name: string, format?: string) => {
      if (name === "title") return title
      if (name === "time") return formatted(now, format ?? "HH:mm")
      const days = name === "yesterday" ? -1 : name === "tomorrow" ? 1 : 0
      return formatted(day(days), format ?? "YYYY-MM-DD")
    },
  )
  const caret = text.search(/\{\{\s*cursor\s*\}\}/)
  return { text: text.replace(/\{\{\s*cursor\s*\}\}/g, ""), caret: caret < 0 ? undefined : caret }
}

/** Writes a date by a pattern: `dddd, D MMMM YYYY`. */
export function formatted(date: Date, pattern: string): string {
  const two = (number: number) => String(number).padStart(2, "0")
  const name = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(undefined, options).format(date)
  const parts: Record<string, () => string> = {
    YYYY: () => String(date.getFullYear()).padStart(4, "0"),
    MMMM: () => name({ month: "long" }),
    MMM: () => name({ month: "short" }),
    MM: () => two(date.getMonth() + 1),
    dddd: () => name({ weekday: "long" }),
    ddd: () => name({ weekday: "short" }),
    DD: () => two(date.getDate()),
    D: () => String(date.getDate()),
    HH: () => two(date.getHours()),
    mm: () => two(date.getMinutes()),
    WW: () => two(weekOf(date)),
  }
  return pattern.replace(/YYYY|MMMM|MMM|MM|dddd|ddd|DD|D|HH|mm|WW/g, part => parts[part]?.() ?? part)
}

/** The week of the year (ISO 8601): the first is that with the first Thursday. */
function weekOf(date: Date): number {
  const thursday = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()))
  thursday.setUTCDate(thursday.getUTCDate() + 3 - ((thursday.getUTCDay() + 6) % 7))
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1)
  return Math.ceil(((thursday.getTime() - first) / DAY + 1) / 7)
}

/** What the note of a day is called. It is found by that, also as a link. */
export function dayTitle(date: Date): string {
  return formatted(date, "YYYY-MM-DD")
}

/** The id of the note of a day: two devices that begin it offline begin the same. */
export function dayId(date: Date): string {
  return `day-${dayTitle(date)}`
}

/** How a day begins, unless a template called Daily says otherwise. */
export const DAILY = "## {{date:dddd, D MMMM}}\n\n- [ ] {{cursor}}\n"
