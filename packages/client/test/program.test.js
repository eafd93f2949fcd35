import assert from "node:assert/strict"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import { test } from "node:test"
import { Program } from "./program.js"

const node = (code, ready) => Program.start(process.execPath, ["-e", code], {}, ready)

test("a program is there once it says so, and one that ends before is heard", async () => {
  const program = await node(`console.log("at 7"); setInterval(() => 0, 1000)`, async program => {
    assert.equal((await program.said(/at (\d)/))[1], "7")
  })
  await program.end()
  await assert.rejects(program.said(/at (\d\d)/), /ended with SIGTERM: at 7/)
  await assert.rejects(
    node(`console.error("no disk"); process.exit(3)`, program => program.said(/at/)),
    /ended with 3: no disk/,
  )
})

test("a program that is gone is ended as well, however it went", async () => {
  for (const code of ["process.exit(0)", "process.kill(process.pid, 'SIGKILL')"]) {
    const program = new Program(process.execPath, ["-e", code], {})
    await assert.rejects(program.said(/something/), /ended with/)
    await program.end()
    await program.end("SIGINT")
  }
})

test("an address that somebody else has is waited for", async () => {
  const other = createServer().listen(0, "127.0.0.1")
  await once(other, "listening")
  const { port } = other.address()
  let tries = 0
  const code = `require("net").createServer().listen(${port}, "127.0.0.1", () => console.log("there"))
    .on("error", () => { console.error("Address already in use"); process.exit(1) })`
  const program = await node(code, async program => {
    tries++
    await program.said(/there|already in use/)
    if (tries === 1) other.close()
    await program.said(/there/)
  })
  assert.ok(tries > 1)
  const socket = connect(port, "127.0.0.1")
  await once(socket, "connect")
  socket.destroy()
  await program.end()
})
