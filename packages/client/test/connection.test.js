import assert from "node:assert/strict"
import { test } from "node:test"
import { Connection } from "../dist/connection.js"

/** A connection whose engine, sockets and clock are the test's. */
function connected(context) {
  const it = { now: 1_000, gone: 0, due: true, messages: [], sockets: [], wants: "connect" }
  context.mock.timers.enable({ apis: ["setTimeout"] })
  context.mock.method(performance, "now", () => it.now)
  context.mock.method(Date, "now", () => it.now)
  const session = {
    takeMessage: () => it.messages.shift(),
    wants: () => it.wants,
    wakeAt: undefined,
    connected: () => undefined,
    disconnected: () => it.gone++,
    receive: () => undefined,
    hurry: () => undefined,
  }
  const dial = () => {
    const socket = {
      readyState: 0,
      sent: [],
      bufferedAmount: 0,
      send: message => socket.sent.push(message),
      close: () => undefined,
    }
    it.sockets.push(socket)
    return socket
  }
  const onTurn = () => it.connection.pump()
  it.connection = new Connection(session, { url: "", dial, onTurn, onFailed: () => undefined, isAnswerDue: () => it.due })
  it.connection.pump()
  it.pass = ms => {
    it.now += ms
    context.mock.timers.tick(ms)
  }
  it.open = () => {
    const socket = it.sockets.at(-1)
    socket.readyState = 1
    socket.onopen()
    return socket
  }
  it.send = () => {
    it.messages.push(new Uint8Array([1]))
    it.connection.pump()
  }
  context.after(() => it.connection.close())
  return it
}

test("a relay that owes an answer for too long is given up, and one that owes none is not", context => {
  const it = connected(context)
  const socket = it.open()
  it.send()
  it.pass(40_000)
  socket.onmessage({ data: new ArrayBuffer() })
  it.pass(60_000)
  assert.equal(it.gone, 0, "it has answered")
  it.due = false
  it.send()
  it.pass(600_000)
  it.connection.pump()
  assert.equal(it.gone, 0, "it owes nothing")
  it.due = true
  it.send()
  it.pass(44_000)
  assert.equal(it.gone, 0, "it has time")
  it.pass(2_000)
  assert.deepEqual([it.gone, it.sockets.length], [1, 2])
  it.open()
  it.send()
  it.pass(46_000)
  assert.deepEqual([it.gone, it.sockets.length], [2, 3])
})

test("a network that is slow has time for what is large", context => {
  const it = connected(context)
  it.open()
  it.messages.push(new Uint8Array(1 << 20))
  it.connection.pump()
  it.pass(250_000)
  assert.equal(it.gone, 0)
  it.pass(60_000)
  assert.equal(it.gone, 1)
})

test("a connection that does not come about is given up", context => {
  const it = connected(context)
  it.pass(59_000)
  assert.equal(it.gone, 0)
  it.pass(2_000)
  assert.deepEqual([it.gone, it.sockets.length], [1, 2])
  it.open()
  it.pass(60_000)
  assert.equal(it.gone, 1)
})

test("what happens to a connection that was given up is nothing to the next", context => {
  const it = connected(context)
  const first = it.sockets[0]
  it.pass(61_000)
  first.onclose()
  assert.deepEqual([it.gone, it.sockets.length], [1, 2])
})
