// Hocuspocus as its guide starts it; with a second argument its database extension keeps documents in SQLite, with the
// table and the queries of `@hocuspocus/extension-sqlite`, whose driver needs a compiler.
import { DatabaseSync } from "node:sqlite"

import { Database } from "@hocuspocus/extension-database"
import { Server } from "@hocuspocus/server"

const [port, file] = process.argv.slice(2)

function sqlite() {
  const database = new DatabaseSync(file)
  database.exec(`CREATE TABLE IF NOT EXISTS documents (name varchar(255) NOT NULL, data blob NOT NULL, UNIQUE(name))`)
  const select = database.prepare("SELECT data FROM documents WHERE name = ?")
  const upsert = database.prepare(
    "INSERT INTO documents (name, data) VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET data = excluded.data",
  )
  return new Database({
    fetch: async ({ documentName }) => select.get(documentName)?.data ?? null,
    store: async ({ documentName, state }) => void upsert.run(documentName, state),
  })
}

const server = new Server({
  address: "127.0.0.1",
  port: Number(port),
  quiet: true,
  extensions: file ? [sqlite()] : [],
})
await server.listen()
