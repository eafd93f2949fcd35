// Notes as somebody has them after years: folders, tags, tasks, links, short ones and long ones. The same each time.
import { strToU8, zipSync } from "fflate"

const SYLLABLES =
  "ba be bo da de do fa fi fo ga ge go ka ke ko la le lo ma me mo na ne no pa pe po ra re ro sa se so ta te to".split(" ")
const WORDS = 8_000
const FOLDERS = 40
const TAGS = 120
/** One in so many is a long one. */
const LONG_EVERY = 100
const LONG_WORDS = 2_500

/** What is looked for, and what must be found: how many notes, and which is the first if only one can be. */
export const RARE = "quetzalcoatl"
export const PAIR = ["marzipan", "lighthouse"]
export const COMMON = "xylophone"
const rareAt = count => Math.floor(count * 0.4321)
const PAIR_COUNT = 7

/** How many notes have each. */
export const planted = count => ({ rare: 1, pair: PAIR_COUNT, common: Math.ceil(count / 3), title: titleAt(rareAt(count)) })

/** Titles say the number, so that links and searches can name them. */
const titleAt = at => `Note ${at} ${word(at % WORDS)}`

export function* notes(count) {
  const chance = chanceFrom(1)
  for (let at = 0; at < count; at++) {
    const words = at % LONG_EVERY === 0 ? LONG_WORDS : 30 + Math.floor(200 * chance() ** 2)
    const marks = [
      ...(at === rareAt(count) ? [RARE] : []),
      ...(at % Math.floor(count / PAIR_COUNT) === 3 && at / Math.floor(count / PAIR_COUNT) < PAIR_COUNT ? PAIR : []),
      ...(at % 50 === 7 ? [PAIR[0]] : []),
      ...(at % 3 === 0 ? [COMMON] : []),
    ]
    yield { title: titleAt(at), folder: folderOf(at), body: bodyOf({ at, count, words, marks, chance }) }
  }
}

/** A note that is written in: so many characters, in paragraphs. */
export function longText(chars) {
  const chance = chanceFrom(2)
  let text = ""
  while (text.length < chars) text += `${sentence(60, chance)}\n\n`
  return text.slice(0, chars).trimEnd()
}

/** All of them as an archive, as Obsidian's folder would be. */
export function archive(count) {
  const files = {}
  for (const { title, folder, body } of notes(count)) files[`Vault/${folder}/${title}.md`] = strToU8(body)
  return Buffer.from(zipSync(files, { level: 1 }))
}

function folderOf(at) {
  const number = at % FOLDERS
  return number < 10 ? `Area ${number}` : `Area ${number % 10}/Topic ${number}`
}

function bodyOf({ at, count, words, marks, chance }) {
  const lines = [`# ${sentence(4, chance)}`, ""]
  for (let left = words; left > 0; left -= 40) lines.push(sentence(Math.min(left, 40), chance), "")
  lines.push(`See [[${titleAt((at * 7 + 1) % count)}]] and #tag-${at % TAGS}.`)
  if (at % 4 === 0) lines.push("", `- [x] ${sentence(4, chance)}`, `- [ ] ${sentence(5, chance)} **${sentence(2, chance)}**`)
  if (marks.length > 0) lines.push("", `${sentence(3, chance)} ${marks.join(` ${word(at % WORDS)} `)} ${sentence(3, chance)}`)
  return lines.join("\n")
}

/** Some words are in every other note, most in a few. */
function sentence(words, chance) {
  return Array.from({ length: words }, () => word(Math.floor(WORDS * chance() ** 3))).join(" ")
}

function word(number) {
  const base = SYLLABLES.length
  return SYLLABLES[number % base] + SYLLABLES[Math.floor(number / base) % base] + SYLLABLES[(number * 7 + 5) % base]
}

/** Numbers from 0 to 1 that are the same for the same seed. */
function chanceFrom(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
