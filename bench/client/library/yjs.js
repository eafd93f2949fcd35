import { HocuspocusProvider } from "@hocuspocus/provider"
import { IndexeddbPersistence, storeState } from "y-indexeddb"
import * as Y from "yjs"

const NAME = "bench"
/** Notes that become one change when they are filled in. */
const BATCH = 100

const doc = new Y.Doc()
const notes = doc.getMap("notes")
let stored
let provider

const idOf = at => `note-${String(at).padStart(6, "0")}`

function noteOf({ title, folder, body }) {
  const note = new Y.Map(Object.entries({ title, folder, created: Date.now(), updated: Date.now() }))
  note.set("body", new Y.Text(body))
  return note
}

export const library = {
  async open({ server } = {}) {
    stored = new IndexeddbPersistence(NAME, doc)
    await stored.whenSynced
    if (!server) return
    provider = new HocuspocusProvider({ url: server, name: NAME, document: doc })
    await new Promise(resolve => provider.on("synced", resolve))
  },

  async fill(all) {
    for (let from = 0; from < all.length; from += BATCH) {
      doc.transact(() => all.slice(from, from + BATCH).forEach((note, at) => notes.set(idOf(from + at), noteOf(note))))
    }
    await library.stored()
  },

  titles: () => [...notes.values()].map(note => note.get("title")),
  texts: () => [...notes.values()].map(note => note.get("body").toString()),
  rename: (at, title) => void notes.get(idOf(at)).set("title", title),
  onChange: listener => notes.observeDeep(listener),
  /** Nothing tells when an update is on the disk; that the whole state is written behind all of them does. */
  stored: () => storeState(stored, true),

  async synced() {
    while (provider.hasUnsyncedChanges) await new Promise(resolve => setTimeout(resolve, 10))
  },

  async leave() {
    const closed = new Promise(resolve => provider.on("disconnect", resolve))
    provider.configuration.websocketProvider.disconnect()
    await closed
  },

  comeBack: () => void provider.configuration.websocketProvider.connect(),
}
