import { defineSchema, t, Workspace } from "@selvedge/client"
import { readText, textOf } from "@selvedge/client/text"

const schema = defineSchema({
  notes: { title: t.string(), folder: t.string(), created: t.int(), updated: t.int(), body: t.text() },
})
/** Notes that become one change when they are filled in. */
const BATCH = 100

let workspace
let doc
let isAway = false
const sockets = new Set()

/** Connections that can be cut as a network would. */
function webSocket(url, protocol) {
  // Nobody listens at the port of the protocol that throws everything away.
  const socket = new WebSocket(isAway ? "ws://127.0.0.1:9" : url, protocol)
  sockets.add(socket)
  socket.addEventListener("close", () => sockets.delete(socket))
  return socket
}

const idOf = at => `note-${String(at).padStart(6, "0")}`

export const library = {
  async open({ relay = "/_selvedge/sync", link } = {}) {
    workspace = await Workspace.open({ name: "bench", relay, engine: "/engine_bg.wasm", webSocket })
    if (link) doc = await workspace.join(link, schema)
    else {
      const [known] = await workspace.documents()
      doc = known ? await workspace.get(known.id, schema) : await workspace.create(schema)
    }
  },

  async fill(notes) {
    for (let from = 0; from < notes.length; from += BATCH) {
      doc.transaction(() =>
        notes.slice(from, from + BATCH).forEach(({ title, folder, body }, at) => {
          doc.notes.insert({ title, folder, created: Date.now(), updated: Date.now(), body: textOf(body) }, idOf(from + at))
        }),
      )
      await doc.saved()
    }
  },

  titles: () => doc.notes.all().map(({ title }) => title),
  texts: () => doc.notes.all().map(({ body }) => readText(body)),
  rename: (at, title) => void (doc.notes.get(idOf(at)).title = title),
  onChange: listener => void doc.subscribe(listener),
  stored: () => doc.saved(),
  synced: () => doc.synced(),
  invite: () => doc.invite(),

  async leave() {
    isAway = true
    const closed = [...sockets].map(socket => new Promise(resolve => socket.addEventListener("close", resolve)))
    for (const socket of sockets) socket.close()
    await Promise.all(closed)
  },

  comeBack() {
    isAway = false
    dispatchEvent(new Event("online"))
  },
}
