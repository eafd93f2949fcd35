import assert from "node:assert/strict"
import { test } from "node:test"
import { openStore } from "../dist/index.js"
import { inBrowser } from "./browser.js"

inBrowser("what was saved is there after the tab is gone", async visit => {
  const first = await visit.open()
  await first.evaluate(async () => {
    const store = await client.openStore("notes")
    await store.claim()
    const bytes = new Uint8Array(1_000_000).fill(7)
    await store.save({ replicas: { a: [{ append: new Uint8Array([1]) }], b: [{ begin: bytes.subarray(0, 2) }] } })
    await store.save({
      replicas: { a: [{ begin: new Uint8Array([2]) }, { append: new Uint8Array([3]) }] },
      meta: { seen: 4, gone: 5 },
    })
    await store.save({ replicas: { a: [{ append: new Uint8Array([6]) }] }, meta: { gone: undefined } })
    await store.save({ replicas: { b: undefined } })
  })
  await first.close()
  const second = await visit.open()
  const read = await second.evaluate(async () => {
    const store = await client.openStore("notes")
    const { begin, appended } = await store.load("a")
    const [list, keys, seen, none] = [await store.list(), await store.metaKeys(), await store.meta("seen"), await store.load("b")]
    return {
      found: store.found,
      begin: [...begin],
      appended: appended.map(piece => [...piece]),
      list,
      keys,
      seen,
      none: none === undefined,
    }
  })
  assert.deepEqual(read, { found: "kept", begin: [2], appended: [[3], [6]], list: ["a"], keys: ["seen"], seen: 4, none: true })
})

inBrowser("a long beginning is read as it was stored, by this version or the one before", async visit => {
  const page = await visit.open()
  const read = await page.evaluate(async () => {
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, at) => at % 251)
    const before = await new Promise(resolve => {
      const request = indexedDB.open("selvedge:notes", 1)
      request.onupgradeneeded = () => {
        const [replicas] = ["replicas", "pieces", "meta", "writer"].map(name => request.result.createObjectStore(name))
        replicas.put(bytes, "old")
      }
      request.onsuccess = () => resolve(request.result)
    })
    before.close()
    const store = await client.openStore("notes")
    await store.claim()
    await store.save({ replicas: { new: [{ begin: bytes }, { append: new Uint8Array([1]) }] } })
    const isSame = ({ begin }) => begin.length === bytes.length && begin.every((byte, at) => byte === bytes[at])
    const [old, made] = [await store.load("old"), await store.load("new")]
    return [isSame(old), isSame(made), old.appended.length, made.appended.length]
  })
  assert.deepEqual(read, [true, true, 0, 1])
})

inBrowser("what is saved at once is stored in order", async visit => {
  const page = await visit.open()
  const stored = await page.evaluate(async () => {
    const store = await client.openStore("notes")
    await store.claim()
    const one = new Uint8Array(1)
    const saves = []
    for (let at = 0; at < 200; at++) {
      one[0] = at
      saves.push(store.save({ replicas: { a: [at === 50 ? { begin: one } : { append: one }] } }))
      if (at === 99) saves.push(store.save({ replicas: { a: undefined } }))
    }
    await Promise.all(saves)
    const { begin, appended } = await store.load("a")
    return [begin.length, ...appended.map(piece => piece[0])]
  })
  assert.deepEqual(stored, [0, ...Array.from({ length: 100 }, (_, at) => at + 100)])
})

inBrowser("who claims a store writes to it, and nobody before", async visit => {
  const [old, young] = [await visit.open(), await visit.open()]
  const save = page =>
    page.evaluate(async () => {
      globalThis.store ??= await client.openStore("notes")
      return store.save({ meta: { by: 1 } }).then(
        () => "saved",
        error => error.kind,
      )
    })
  const claim = page => page.evaluate(() => store.claim())
  assert.equal(await save(old), "invalid")
  await claim(old)
  assert.equal(await save(old), "saved")
  assert.equal(await save(young), "invalid")
  await claim(young)
  assert.equal(await save(old), "superseded")
  assert.equal(await save(young), "saved")
})

inBrowser("a full disk refuses whole transactions, and what would leave a hole", async visit => {
  const page = await visit.open()
  const devtools = await visit.devtools(page)
  const limit = quotaSize => devtools.send("Storage.overrideQuotaForOrigin", { origin: visit.site.origin, quotaSize })
  // Chromium remembers for a while how much was left: the limit comes first.
  await limit(1_000_000)
  await page.evaluate(async () => {
    globalThis.store = await client.openStore("notes")
    await store.claim()
    await store.save({ replicas: { a: [{ begin: new Uint8Array([1]) }] } })
  })
  const kinds = await page.evaluate(async () => {
    const saves = [
      store.save({ meta: { fits: 1 } }),
      store.save({
        replicas: { a: [{ append: crypto.getRandomValues(new Uint8Array(65536)) }, { append: new Uint8Array(2_000_000) }] },
      }),
      store.save({ replicas: { a: [{ append: new Uint8Array([2]) }] } }),
      store.save({ meta: { also: 1 } }),
    ]
    return Promise.all(
      saves.map(save =>
        save.then(
          () => "saved",
          error => error.kind,
        ),
      ),
    )
  })
  assert.deepEqual(kinds, ["saved", "full", "full", "saved"])
  await limit(100_000_000)
  const rest = await page.evaluate(async () => {
    const behind = await store.save({ replicas: { a: [{ append: new Uint8Array([3]) }] } }).catch(error => error.kind)
    const { appended } = await store.load("a")
    await store.save({ replicas: { a: [{ append: new Uint8Array([4]) }] } })
    return {
      behind,
      before: appended.length,
      after: (await store.load("a")).appended.map(piece => [...piece]),
      keys: await store.metaKeys(),
    }
  })
  assert.deepEqual(rest, { behind: "full", before: 0, after: [[4]], keys: ["also", "fits"] })
})

inBrowser("a store that the browser threw away is told from a new one", async visit => {
  const page = await visit.open()
  const found = () =>
    page.evaluate(async () => {
      const store = await client.openStore("notes")
      await store.claim()
      store.close()
      return store.found
    })
  assert.equal(await found(), "empty")
  assert.equal(await found(), "kept")
  const devtools = await visit.devtools(page)
  await devtools.send("Storage.clearDataForOrigin", { origin: visit.site.origin, storageTypes: "indexeddb" })
  assert.equal(await found(), "evicted")
  assert.equal(await found(), "kept")
})

inBrowser("an open store is told that the browser took it", async visit => {
  const page = await visit.open()
  await page.evaluate(async () => {
    globalThis.told = new Promise(resolve => {
      globalThis.opened = client.openStore("notes", { onClosed: why => resolve(why.kind) })
    })
    await globalThis.opened
  })
  const devtools = await visit.devtools(page)
  await devtools.send("Storage.clearDataForOrigin", { origin: visit.site.origin, storageTypes: "indexeddb" })
  assert.equal(await page.evaluate(() => told), "closed")
  assert.equal(await page.evaluate(async () => (await opened).list().catch(error => error.kind)), "closed")
})

inBrowser("a newer version upgrades what is there, and is not kept from it by open tabs", async visit => {
  const [old, young] = [await visit.open(), await visit.open()]
  const opened = await old.evaluate(async () => {
    const { Database } = await import("/dist/store/database.js")
    const steps = [database => database.createObjectStore("first")]
    globalThis.toldWhy = new Promise(resolve => {
      globalThis.opened = Database.open("shelf", steps, { onClosed: why => resolve(why.kind) })
    })
    await (await globalThis.opened).write(["first"], transaction => transaction.objectStore("first").put("kept", 1))
  })
  assert.equal(opened, undefined)
  const read = await young.evaluate(async () => {
    const { Database } = await import("/dist/store/database.js")
    const steps = [database => database.createObjectStore("first"), database => database.createObjectStore("second")]
    const database = await Database.open("shelf", steps)
    await database.write(["second"], transaction => transaction.objectStore("second").put("new", 1))
    return database.read(["first", "second"], transaction => {
      const [first, second] = ["first", "second"].map(name => transaction.objectStore(name).get(1))
      return () => [first.result, second.result]
    })
  })
  assert.deepEqual(read, ["kept", "new"])
  assert.equal(await old.evaluate(() => toldWhy), "outdated")
  const again = await old.evaluate(async () => {
    const { Database } = await import("/dist/store/database.js")
    return Database.open("shelf", [database => database.createObjectStore("first")]).catch(error => error.kind)
  })
  assert.equal(again, "outdated")
})

inBrowser("who has a store open and does not let go is reported", async visit => {
  const [old, young] = [await visit.open(), await visit.open()]
  await old.evaluate(async () => {
    globalThis.held = await new Promise(resolve => {
      const request = indexedDB.open("shelf", 1)
      request.onsuccess = () => resolve(request.result)
    })
  })
  await young.evaluate(async () => {
    const { Database } = await import("/dist/store/database.js")
    await new Promise(onBlocked => {
      globalThis.opening = Database.open("shelf", [() => {}, () => {}], { onBlocked })
    })
  })
  await old.close()
  assert.equal(await young.evaluate(async () => (await opening).close()), undefined)
})

inBrowser("without IndexedDB it is memory, and says so", async visit => {
  await visit.context.addInitScript(() => Object.defineProperty(globalThis, "indexedDB", { value: undefined }))
  const page = await visit.open()
  assert.equal(await page.evaluate(async () => (await client.openStore("notes")).isVolatile), true)
})

inBrowser("a page can ask for its storage to be kept, and how much there is", async visit => {
  const tab = await visit.open()
  const devtools = await visit.devtools(tab)
  await devtools
    .send("Browser.setPermission", { permission: { name: "persistent-storage" }, setting: "granted", origin: visit.site.origin })
    .catch(() => undefined)
  const before = await tab.evaluate(() => client.space())
  const asked = await tab.evaluate(() => client.requestPersistence())
  const after = await tab.evaluate(() => client.space())
  assert.deepEqual([before.isPersistent, after.isPersistent], [false, asked])
  assert.ok(after.quota > after.used)
})

test("in Node it is memory, and keeps what it was given", async () => {
  const store = await openStore("bot")
  assert.deepEqual([store.isVolatile, store.found], [true, "empty"])
  const bytes = new Uint8Array([1])
  await store.save({ replicas: { b: [{ append: bytes }], a: [{ append: bytes }] }, meta: { x: [1], y: 2 } })
  bytes[0] = 9
  await store.save({ replicas: { a: [{ begin: bytes }, { append: bytes }] }, meta: { x: undefined } })
  assert.deepEqual(await store.list(), ["a", "b"])
  assert.deepEqual(await store.load("a"), { begin: new Uint8Array([9]), appended: [new Uint8Array([9])] })
  assert.deepEqual(await store.load("b"), { begin: new Uint8Array(), appended: [new Uint8Array([1])] })
  assert.deepEqual([await store.metaKeys(), await store.meta("y")], [["y"], 2])
  await assert.rejects(store.save({ replicas: { a: [{ begin: bytes }] }, meta: { f: () => 1 } }), {
    name: "ClientError",
    kind: "invalid",
  })
  await store.save({ replicas: { a: undefined } })
  assert.equal(await store.load("a"), undefined)
  store.close()
  await assert.rejects(store.list(), { kind: "closed" })
})

test("a name is one that locks and channels can have", async () => {
  for (const name of ["", "a b", "x".repeat(65), "a/b"]) await assert.rejects(openStore(name), { kind: "invalid" })
})
