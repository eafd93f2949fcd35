// Our documents as dmonad/crdt-benchmarks drives them: a map in which entries are values or objects, and a text.
// Lists are nothing that documents have.
import { pathToFileURL } from "node:url"
import { join } from "node:path"

/** The factory over the built package in `folder`. */
export async function load(folder) {
  const module = name => import(pathToFileURL(join(folder, "dist", name)))
  const [{ Doc, init }, { TextBinding }] = [await module("index.js"), await module("text.js")]
  await init()

  class Crdt {
    constructor(send, snapshot) {
      this.send = send
      this.doc = new Doc(snapshot ? { snapshot } : {})
      this.inTransaction = false
    }

    /** The text, for those who use it. */
    get text() {
      this.binding ??= new TextBinding(this.doc, "text", "body", { gatherMs: 2 ** 30 })
      return this.binding.text
    }

    getEncodedState() {
      return this.doc.snapshot()
    }

    applyUpdate(update) {
      this.doc.apply(update)
    }

    transact(write) {
      this.inTransaction = true
      try {
        write(this)
      } finally {
        this.inTransaction = false
        this.#written()
      }
    }

    insertText(index, text) {
      this.text.insert(index, text)
      this.#written()
    }

    deleteText(index, length) {
      this.text.delete(index, length)
      this.#written()
    }

    getText() {
      return this.text.toString()
    }

    toString() {
      return this.getText()
    }

    /** A value is a field of the map's entity; an object is an entity of its own. */
    setMap(key, value) {
      if (typeof value === "object" && value !== null) this.doc.set(`map/${key}`, value)
      else this.doc.set("map", key, value)
      this.#written()
    }

    getMap() {
      const { map, ...objects } = this.doc.toObject("map")
      const entries = Object.entries(objects).map(([id, fields]) => [id.slice("map/".length), fields])
      return { ...map, ...Object.fromEntries(entries) }
    }

    #written() {
      if (this.inTransaction) return
      this.binding?.flush()
      for (const batch of this.doc.takeBatches()) this.send(batch)
    }
  }

  return {
    create: send => new Crdt(send),
    load: (send, snapshot) => new Crdt(send, snapshot),
    getName: () => "selvedge",
  }
}
