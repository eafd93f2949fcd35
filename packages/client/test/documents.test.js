import assert from "node:assert/strict"
import { until } from "./application.js"
import { inBrowser } from "./browser.js"

/** Opens the workspace of a page, and its one document. */
async function open(visit, options = {}) {
  const page = await visit.open()
  await page.evaluate(start, options)
  return page
}

/** In a page: a workspace, and the document that is there, or a new one. */
async function start(options) {
  const { Workspace, defineSchema, t } = client
  globalThis.schema = defineSchema({ notes: { title: t.string(), tags: t.set(t.string()), stars: t.counter(), body: t.text() } })
  globalThis.workspace = await Workspace.open({ name: "notes", ...options })
  const [known] = await workspace.documents()
  globalThis.doc = known ? await workspace.get(known.id, schema) : await workspace.create(schema, { title: "Vault", ...options })
}

const titles = page => page.evaluate(() => doc.notes.all().map(({ title }) => title))
const hasAll = (page, count) => until(page, count => doc.notes.size === count, count)

inBrowser("what was saved is there after a reload, and after the browser forgot the page", async visit => {
  const page = await open(visit)
  await page.evaluate(async () => {
    doc.transaction(() => ["Milk", "Oat milk"].forEach(title => doc.notes.insert({ title, tags: ["a"] }, title.slice(0, 3))))
    await doc.saved()
  })
  const device = await page.evaluate(() => workspace.device)
  await page.close()
  const again = await open(visit)
  assert.deepEqual(await titles(again), ["Milk", "Oat milk"])
  assert.equal(await again.evaluate(() => workspace.device), device)
  assert.equal(await again.evaluate(() => workspace.state.value.found), "known")
  assert.equal(await again.evaluate(() => workspace.state.value.isVolatile), false)
})

inBrowser("tabs show the same, whoever writes, and go on when the leader ends", async visit => {
  const tabs = [await open(visit), await open(visit), await open(visit)]
  for (const [at, tab] of tabs.entries()) {
    await tab.evaluate(at => {
      doc.notes.insert({ title: `of ${at}`, stars: 1 }, String(at))
      doc.notes.insert({ stars: 1 }, "shared")
    }, at)
  }
  for (const tab of tabs) {
    await until(tab, () => doc.notes.get("shared")?.stars.value === 3 && doc.notes.size === 4)
    assert.deepEqual(await titles(tab), ["of 0", "of 1", "of 2", ""])
  }
  const roles = await Promise.all(tabs.map(tab => tab.evaluate(() => workspace.state.value.role)))
  assert.deepEqual(roles, ["leader", "follower", "follower"])
  // What is written while nobody leads is not lost, and counted once.
  const [leader, ...others] = tabs
  await Promise.all([
    leader.close(),
    ...others.map(tab =>
      tab.evaluate(async () => {
        for (let at = 0; at < 20; at++) {
          doc.notes.insert({ stars: 1 }, "shared")
          await new Promise(resolve => setTimeout(resolve, 5))
        }
        await doc.saved()
      }),
    ),
  ])
  for (const tab of others) await until(tab, () => doc.notes.get("shared").stars.value === 43)
  const last = await open(visit)
  assert.equal(await last.evaluate(() => doc.notes.get("shared").stars.value), 43)
})

inBrowser("leaders end again and again while others write, and each edit counts once", async visit => {
  let tabs = [await open(visit), await open(visit), await open(visit)]
  const write = () => {
    globalThis.written = 0
    const timer = setInterval(() => {
      doc.notes.insert({ stars: 1 }, "shared")
      written++
    }, 5)
    globalThis.rest = async () => {
      clearInterval(timer)
      await doc.saved()
      return written
    }
  }
  let total = 0
  for (const tab of tabs) await tab.evaluate(write)
  for (let round = 0; round < 6; round++) {
    const [leader] = tabs
    // A tab that says goodbye has everything saved; the others do not hear of it.
    total += await leader.evaluate(() => rest())
    await leader.close()
    tabs = [...tabs.slice(1), await open(visit)]
    await tabs[2].evaluate(write)
    await until(tabs[0], () => workspace.state.value.role === "leader")
  }
  for (const tab of tabs) total += await tab.evaluate(() => rest())
  for (const tab of tabs) await until(tab, total => doc.notes.get("shared").stars.value === total, total)
})

inBrowser("a text that two tabs edit is one text", async visit => {
  const [one, two] = [await open(visit), await open(visit)]
  await one.evaluate(() => doc.notes.insert({ title: "a" }, "a"))
  await hasAll(two, 1)
  const push = async byte => {
    const note = doc.notes.get("a")
    for (let at = 0; at < 5; at++) note.body.push(new Uint8Array([byte, at]))
    await doc.saved()
  }
  await Promise.all([one.evaluate(push, 1), two.evaluate(push, 2)])
  const names = tab =>
    tab.evaluate(() =>
      doc.notes
        .get("a")
        .body.updates()
        .map(update => update.join()),
    )
  for (const tab of [one, two]) await until(tab, () => doc.notes.get("a").body.names().length === 10)
  assert.deepEqual(new Set(await names(one)), new Set(await names(two)))
})

inBrowser("a disk that is full says so, keeps everything in memory, and stores it later", async visit => {
  const page = await visit.open()
  const devtools = await visit.devtools(page)
  const quota = quotaSize => devtools.send("Storage.overrideQuotaForOrigin", { origin: visit.site.origin, quotaSize })
  // Chromium remembers for a while how much was left: the limit comes first.
  await quota(1_000_000)
  await page.evaluate(start, {})
  await page.evaluate(() => doc.notes.insert({ title: "before" }, "before") && doc.saved())
  await page.evaluate(() => {
    globalThis.isSaved = false
    const random = () => Array.from(crypto.getRandomValues(new Uint8Array(30_000)), byte => byte.toString(16)).join("")
    doc.transaction(() => Array.from({ length: 60 }, (_, at) => doc.notes.insert({ title: random() }, `large${at}`)))
    void doc.saved().then(() => (isSaved = true))
  })
  await until(page, () => workspace.state.value.trouble?.kind === "full" && workspace.state.value.unsaved > 0)
  assert.equal(await page.evaluate(() => isSaved), false)
  await page.evaluate(() => doc.notes.insert({ title: "after" }, "after"))
  assert.equal(await page.evaluate(() => doc.notes.size), 62)
  await quota(100_000_000)
  await until(page, () => isSaved && workspace.state.value.unsaved === 0 && !workspace.state.value.trouble)
  await page.close()
  const again = await open(visit)
  assert.equal((await titles(again)).length, 62)
})

inBrowser("where nothing is stored the state says so", async visit => {
  await visit.context.addInitScript(() => Object.defineProperty(globalThis, "indexedDB", { value: undefined }))
  const [page, other] = [await open(visit), await open(visit)]
  await page.evaluate(() => doc.notes.insert({ title: "a" }) && doc.saved())
  await hasAll(other, 1)
  for (const tab of [page, other]) assert.equal(await tab.evaluate(() => workspace.state.value.isVolatile), true)
})

inBrowser("a store that the browser threw away is said to be evicted", async visit => {
  const page = await open(visit)
  await page.evaluate(() => doc.notes.insert({ title: "a" }) && doc.saved())
  const devtools = await visit.devtools(page)
  await devtools.send("Storage.clearDataForOrigin", { origin: visit.site.origin, storageTypes: "indexeddb" })
  await page.close()
  const again = await open(visit)
  assert.equal(await again.evaluate(() => workspace.state.value.found), "evicted")
})

inBrowser("a listener that throws is heard of, and keeps nothing from the others", async visit => {
  visit.mayHear(/uncaught: mine/)
  const page = await open(visit)
  const told = await page.evaluate(() => {
    let told = 0
    doc.subscribe(() => {
      throw new Error("mine")
    })
    doc.subscribe(() => told++)
    doc.notes.insert({ title: "a" })
    return told
  })
  assert.equal(told, 1)
})

inBrowser("who watches and throws keeps nothing from the disk", async visit => {
  visit.mayHear(/uncaught: mine/)
  const page = await open(visit)
  await page.evaluate(async () => {
    const mine = () => {
      throw new Error("mine")
    }
    workspace.state.watch(mine)
    doc.presence.peers.watch(mine)
    for (const id of ["a", "b", "c"]) {
      doc.notes.insert({ title: id }, id)
      await doc.saved()
    }
  })
  await page.close()
  const again = await open(visit)
  assert.deepEqual(await titles(again), ["a", "b", "c"])
})

inBrowser("a store that is taken from an open tab is opened again", async visit => {
  const [page, other] = [await open(visit), await open(visit)]
  await page.evaluate(() => doc.notes.insert({ title: "before" }, "before") && doc.saved())
  const devtools = await visit.devtools(page)
  await devtools.send("Storage.clearDataForOrigin", { origin: visit.site.origin, storageTypes: "indexeddb" })
  for (const [at, tab] of [page, other].entries()) {
    await tab.evaluate(at => doc.notes.insert({ title: `after ${at}` }, `after ${at}`) && doc.saved(), at)
  }
  await page.close()
  await other.close()
  const again = await open(visit)
  const found = await titles(again)
  assert.ok(found.includes("after 0") && found.includes("after 1"), found.join())
})

inBrowser("a worker that sends takes no thrown away store for a new one", async visit => {
  const page = await open(visit)
  const [device, id] = await page.evaluate(async () => {
    await doc.saved()
    return [workspace.device, doc.id]
  })
  const devtools = await visit.devtools(page)
  await page.evaluate(() => workspace.close())
  await devtools.send("Storage.clearDataForOrigin", { origin: visit.site.origin, storageTypes: "indexeddb" })
  await page.close()
  const blank = await visit.open()
  await blank.evaluate(async () => {
    const { flushWorkspace } = await import("/dist/flush.js")
    await flushWorkspace({ name: "notes" })
    // Whoever else opens it makes no device either.
    const store = await client.openStore("notes")
    await store.claim()
    store.close()
  })
  await blank.evaluate(start, {})
  const now = await blank.evaluate(() => [workspace.device, doc.id, workspace.state.value.found])
  assert.deepEqual(now, [device, id, "evicted"])
})

inBrowser("a tab that comes while a worker sends does not wait for that", async visit => {
  const page = await open(visit)
  await page.evaluate(async () => {
    doc.notes.insert({ title: "a" })
    await doc.saved()
    await workspace.close()
    const { flushWorkspace } = await import("/dist/flush.js")
    const silent = () => Object.assign(new EventTarget(), { readyState: 0, close: () => undefined })
    const options = { name: "notes", relay: "/sync", webSocket: silent }
    const work = () => flushWorkspace(options, 2 ** 31 - 1).catch(error => (globalThis.ended = error.kind))
    globalThis.sent = client.leadMeanwhile("notes", work)
  })
  // It leads before the other tab comes.
  await until(page, async () => (await navigator.locks.query()).held.some(({ name }) => name.endsWith(":leader")))
  const other = await open(visit)
  assert.deepEqual(await titles(other), ["a"])
  assert.deepEqual(await page.evaluate(async () => [await sent, ended]), [true, "unavailable"])
})

inBrowser("a tab that follows learns of what kind a trouble is", async visit => {
  const [page, other] = [await visit.open(), await visit.open()]
  const begin = async () => {
    const webSocket = () => {
      throw new DOMException("this page may not", "SecurityError")
    }
    globalThis.workspace = await client.Workspace.open({ name: "notes", relay: "/sync", webSocket })
    await workspace.create(client.defineSchema({ notes: { title: client.t.string() } }))
  }
  await page.evaluate(begin)
  await other.evaluate(begin)
  for (const tab of [page, other]) await until(tab, () => workspace.state.value.trouble?.kind === "unsupported")
})

/** In a page: writes what the disk does not take, has the page say that it goes, and returns what it left. */
async function leave() {
  const { transaction } = IDBDatabase.prototype
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    if (mode === "readwrite") throw new Error("there is no time")
    return transaction.call(this, stores, mode, options)
  }
  globalThis.takeTime = () => (IDBDatabase.prototype.transaction = transaction)
  doc.notes.get("a").stars.add(1)
  doc.notes.get("a").body.push(new Uint8Array([0, 1, 255]))
  await new Promise(resolve => setTimeout(resolve))
  dispatchEvent(new PageTransitionEvent("pagehide"))
  return Object.entries(localStorage).filter(([key]) => key.includes(":left:"))
}

const readNote = () => {
  const { title, stars, body } = doc.notes.get("a")
  return [title, stars.value, ...body.updates().map(update => update.join())]
}
const wordsLeft = () => Object.keys(localStorage).filter(key => key.includes(":left:")).length

inBrowser("what a tab that leads could not store before it was closed is stored by the next, once", async visit => {
  const page = await open(visit)
  await page.evaluate(() => doc.notes.insert({ title: "before", stars: 1 }, "a") && doc.saved())
  assert.equal((await page.evaluate(leave)).length, 1)
  await page.goto("about:blank")
  for (let time = 0; time < 2; time++) {
    const next = await open(visit)
    assert.deepEqual(await next.evaluate(readNote), ["before", 2, "0,1,255"])
    assert.equal(await next.evaluate(wordsLeft), 0)
    await next.close()
  }
})

inBrowser("what a tab left and has stored all the same counts once", async visit => {
  const page = await open(visit)
  await page.evaluate(() => doc.notes.insert({ title: "before", stars: 1 }, "a") && doc.saved())
  const [[key, text]] = await page.evaluate(leave)
  await page.evaluate(() => takeTime() && doc.saved())
  assert.equal(await page.evaluate(wordsLeft), 0)
  await page.evaluate(([key, text]) => localStorage.setItem(key, text), [key, text])
  await page.goto("about:blank")
  const next = await open(visit)
  assert.deepEqual([await next.evaluate(readNote), await next.evaluate(wordsLeft)], [["before", 2, "0,1,255"], 0])
})

/** In a page: has the disk fail like this, or not any more, and changes a note. */
async function writeOnDisk(failure) {
  globalThis.transaction ??= IDBDatabase.prototype.transaction
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    if (failure && mode === "readwrite") throw new DOMException("not now", failure)
    return transaction.call(this, stores, mode, options)
  }
  doc.notes.get("a").stars.add(1)
  if (!failure) await doc.saved()
}

/** Has the disk of a page fail like this, and the page know. */
async function fail(page, failure) {
  await page.evaluate(writeOnDisk, failure)
  const isTold = kind => workspace.state.value.trouble && (workspace.state.value.trouble.kind === "full") === (kind === "full")
  await until(page, isTold, failure === "QuotaExceededError" ? "full" : "another")
}

inBrowser("a page says whether something of it would be lost", async visit => {
  const page = await open(visit)
  const wouldLose = () => page.evaluate(() => workspace.wouldLose())
  await page.evaluate(() => doc.notes.insert({ title: "before" }, "a") && doc.saved())
  assert.equal(await wouldLose(), false)
  await fail(page, "UnknownError")
  assert.deepEqual([await wouldLose(), await page.evaluate(wordsLeft)], [false, 1])
  await page.evaluate(() => {
    globalThis.setItem = Storage.prototype.setItem
    Storage.prototype.setItem = () => {
      throw new DOMException("no room", "QuotaExceededError")
    }
  })
  assert.equal(await wouldLose(), true)
  await page.evaluate(() => (Storage.prototype.setItem = setItem))
  assert.equal(await wouldLose(), false)
  await fail(page, "QuotaExceededError")
  assert.equal(await wouldLose(), true)
  await page.evaluate(writeOnDisk)
  assert.deepEqual([await wouldLose(), await page.evaluate(wordsLeft)], [false, 0])
})

inBrowser("what a tab that follows wrote and the one that leads could not store is stored by the next, once", async visit => {
  const page = await open(visit)
  await page.evaluate(() => doc.notes.insert({ title: "before", stars: 1 }, "a") && doc.saved())
  const other = await open(visit)
  await fail(page, "UnknownError")
  await other.evaluate(() => void doc.notes.get("a").stars.add(5))
  await until(other, () => workspace.state.value.unsaved === 1 && workspace.state.value.trouble)
  await other.goto("about:blank")
  await page.goto("about:blank")
  for (let time = 0; time < 2; time++) {
    const next = await open(visit)
    assert.equal((await next.evaluate(readNote))[1], 7)
    assert.equal(await next.evaluate(wordsLeft), 0)
    await next.close()
  }
})
