// What a page of a library does, whichever it is: a bundle of this and of one of those beside it. It has no app, and shows counts.
import { library } from "library"

const line = document.body.appendChild(document.createElement("p"))

/** Opens what is stored, and shows how many titles there are, and then how many characters of texts. */
async function open(settings) {
  await library.open(settings)
  const titles = library.titles()
  line.textContent = `${titles.length} titles`
  const titles_ms = await bench.painted()
  line.textContent = `${library.texts().reduce((sum, text) => sum + text.length, 0)} characters`
  return { titles_ms, texts_ms: await bench.painted(), notes: titles.length, characters: parseInt(line.textContent) }
}

/** Shows how many notes have a title of this kind, whenever something changes. */
function watch(prefix) {
  const show = () => (line.textContent = `${library.titles().filter(title => title.startsWith(prefix)).length} renamed`)
  library.onChange(show)
  show()
}

/** Gives each note another title: a change for each, and whatever it brings about, before the next. */
async function rename(prefix, count) {
  for (let at = 0; at < count; at++) {
    library.rename(at, `${prefix} ${at}`)
    await new Promise(resolve => setTimeout(resolve))
  }
  await library.stored()
}

globalThis.page = { open, watch, rename, library }
