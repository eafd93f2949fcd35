import MiniSearch from "minisearch"
import { tagOf } from "../text/scan.js"

/** What is found by its words. */
export interface Searched {
  readonly id: string
  readonly title: string
  readonly body: string
  readonly tags: readonly string[]
}

/** A note that fits, and the words in it that do. */
export interface Hit {
  readonly id: string
  readonly words: readonly string[]
}

/** What somebody looks for: `soup -leek #dinner`. */
export interface Query {
  readonly words: string
  readonly without: readonly string[]
  readonly tags: readonly string[]
}

/** More hits nobody looks through. */
const HITS_MAX = 300

/** The words of all notes. */
export class SearchIndex {
  readonly #tags = new Map<string, readonly string[]>()
  readonly #words = new MiniSearch<Searched>({
    fields: ["title", "tags", "body"],
    extractField: (note, field) => (field === "tags" ? note.tags.join(" ") : String(note[field as keyof Searched])),
    processTerm: term => bare(term),
    searchOptions: {
      boost: { title: 4, tags: 2 },
      combineWith: "AND",
      prefix: true,
      fuzzy: term => (term.length > 4 ? 0.2 : false),
      maxFuzzy: 2,
    },
  })

  /** Takes in notes, also those that it knew otherwise. */
  put(notes: readonly Searched[]): void {
    for (const note of notes) {
      if (this.#words.has(note.id)) this.#words.replace(note)
      else this.#words.add(note)
      this.#tags.set(note.id, note.tags)
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.#words.has(id)) this.#words.discard(id)
      this.#tags.delete(id)
    }
  }

  get size(): number {
    return this.#words.documentCount
  }

  /** The notes that fit, the best first. */
  search(text: string): Hit[] {
    const { words, without, tags } = parseQuery(text)
    const fits = (id: string) => tags.every(tag => this.#tags.get(id)?.some(own => own === tag || own.startsWith(`${tag}/`)))
    if (!words) {
      if (tags.length === 0) return []
      const ids = [...this.#tags.keys()].filter(fits).slice(0, HITS_MAX)
      return ids.map(id => ({ id, words: [] }))
    }
    const excluded = new Set(
      without.flatMap(word => this.#words.search(word, { prefix: false, fuzzy: false })).map(({ id }) => id),
    )
    const found = this.#words.search(words, { filter: ({ id }) => fits(id as string) && !excluded.has(id) })
    return found.slice(0, HITS_MAX).map(({ id, terms }) => ({ id: id as string, words: terms }))
  }
}

/** Reads what was typed into the search field. */
export function parseQuery(text: string): Query {
  const parts = text.split(/\s+/).filter(part => part !== "" && part !== "-" && part !== "#")
  const tags = parts.filter(part => part.startsWith("#")).map(tagOf)
  const without = parts.filter(part => part.startsWith("-")).map(part => part.slice(1))
  const words = parts.filter(part => !/^[#-]/.test(part)).join(" ")
  return { words, without, tags }
}

/** A word as it is compared: `Café` is found by `cafe`. */
function bare(word: string): string | null {
  return (
    word
      .normalize("NFKD")
      .replace(/\p{M}+/gu, "")
      .toLowerCase() || null
  )
}
