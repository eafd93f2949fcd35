// Values, times and sizes as people read them.

import type { Conflict, Operation } from "../workspace.js"

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })
const whole = new Intl.NumberFormat()

/** Milliseconds of whole numbers that are dates: 2001 to 2100. */
const [DATES_FROM, DATES_TO] = [978_307_200_000, 4_102_444_800_000]

/** A moment, as short as it can be told: of today the time. */
export function moment(ms: number, now: number): string {
  const isToday = new Date(ms).toDateString() === new Date(now).toDateString()
  return (isToday ? clock : day).format(ms)
}

/** A moment to the millisecond. */
export function exactly(ms: number): string {
  return new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC")
}

const SPANS = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1_000, "second"],
] as const

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" })

/** How long ago something was, or how long it is until then. */
export function ago(ms: number, now: number): string {
  const span = SPANS.find(([length]) => Math.abs(ms - now) >= length)
  return span ? relative.format(Math.round((ms - now) / span[0]), span[1]) : "now"
}

/** A span of time that may have a sign. */
export function span(ms: number): string {
  const found = SPANS.find(([length]) => Math.abs(ms) >= length)
  return found ? `${count(Math.round((ms / found[0]) * 10) / 10)} ${found[1]}s` : `${count(ms)} ms`
}

export function count(value: number): string {
  return whole.format(value)
}

/** A number of things. */
export function things(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

export function size(bytes: number): string {
  const at = [1e9, 1e6, 1e3].findIndex(unit => bytes >= unit)
  if (at < 0) return `${bytes} B`
  return `${(bytes / [1e9, 1e6, 1e3][at]!).toFixed(1)} ${["GB", "MB", "kB"][at]}`
}

/** An id that nobody reads to its end. */
export function short(id: string): string {
  return id.slice(0, 8)
}

/** What was written, in short: `= "Milk"`. */
export function deed({ does, field, kind, value, bytes }: Operation): string {
  if (does === "delete") return "deleted"
  if (does === "cover") return "taken out"
  if (field === "") return "created"
  if (kind === "text") return `${size(bytes ?? 0)} of text`
  return `${SIGNS[kind ?? "unknown"] ?? "="} ${written({ value, bytes })}`
}

const SIGNS: Readonly<Record<string, string>> = { "or-set": "+", "grow-set": "+", counter: "Σ", max: "≥", min: "≤" }

/** A value as it would be written in a program. */
export function written({ value, bytes }: Pick<Conflict["values"][number], "value" | "bytes">): string {
  if (bytes !== undefined) return `${size(bytes)} of bytes`
  if (typeof value === "string") return JSON.stringify(value)
  const isDate = typeof value === "number" && Number.isInteger(value) && value > DATES_FROM && value < DATES_TO
  return isDate ? `${value} (${exactly(value).slice(0, 19)})` : String(value)
}

/** A colour for a replica, as a hue. */
export function hue(id: string): number {
  let sum = 0
  for (const char of id) sum = (sum * 31 + char.charCodeAt(0)) >>> 0
  return sum % 360
}
