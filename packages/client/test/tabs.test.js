import assert from "node:assert/strict"
import { test } from "node:test"
import { ClientError, Tabs } from "../dist/index.js"
import { Office } from "../dist/tabs/office.js"
import { until } from "./application.js"
import { inBrowser } from "./browser.js"
import { eventually, inTime } from "./waits.js"

/** Joins the tabs of a log in the store, and keeps `writing` posts on their way; the test is told which are stored. */
async function join(writing) {
  const text = new TextEncoder()
  const lead = async () => {
    const store = await client.openStore("log")
    globalThis.store = store
    await store.claim()
    return {
      stored: async tab => (await store.meta(`stored:${tab}`)) ?? 0,
      store: (tab, posts) =>
        store.save({
          replicas: { log: posts.map(({ seq, body }) => ({ append: text.encode(`${tab} ${seq} ${body}`) })) },
          meta: { [`stored:${tab}`]: posts.at(-1).seq },
        }),
      known: async () => (await store.metaKeys("stored:")).map(key => key.slice(7)),
      gone: tab => store.save({ meta: { [`stored:${tab}`]: undefined, [`gone:${tab}`]: true } }),
      answer: async question => [question, (await store.load("log")).appended.length],
      end: () => store.close(),
    }
  }
  globalThis.heard = []
  globalThis.tabs = await client.Tabs.join("log", { lead, onTold: body => heard.push(body) })
  globalThis.stored = 0
  const write = async () => {
    for (let n = 0; ; n++) {
      await tabs.post(`line ${n}`)
      await toldStored(tabs.id, ++stored)
      // People type slower than a loop runs.
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  for (let at = 0; at < writing; at++) write().catch(error => error.kind !== "closed" && console.error(error.message))
  return tabs.id
}

/** A tab that takes part. */
async function enter(visit, writing) {
  const page = await visit.open()
  const id = await page.evaluate(join, writing)
  return { page, id }
}

async function leaderOf(tabs) {
  const roles = await Promise.all(tabs.map(({ page }) => page.evaluate(() => globalThis.tabs.status.value.role)))
  return tabs[roles.indexOf("leader")]
}

/** Waits until every tab has had more stored. */
async function progress(tabs) {
  for (const { page } of tabs) {
    const before = await page.evaluate(() => stored)
    await until(page, before => stored > before, before)
  }
}

const ENDS = [
  tab => tab.page.close(),
  async tab => {
    const devtools = await tab.page.context().newCDPSession(tab.page)
    const crashed = tab.page.waitForEvent("crash")
    devtools.send("Page.crash").catch(() => undefined)
    await crashed
    await tab.page.close()
  },
  tab => tab.page.evaluate(() => tabs.close()).then(() => tab.page.close()),
]

inBrowser("the leader ends 20 times, and nothing that was stored is lost or there twice", async visit => {
  const told = new Map()
  await visit.context.exposeFunction("toldStored", (tab, count) => told.set(tab, count))
  let tabs = [await enter(visit, 2), await enter(visit, 2), await enter(visit, 2)]
  for (let round = 0; round < 20; round++) {
    await progress(tabs)
    const leader = await leaderOf(tabs)
    assert.ok(leader, "one tab leads")
    await ENDS[round % ENDS.length](leader)
    tabs = [...tabs.filter(tab => tab !== leader), await enter(visit, 2)]
  }
  await progress(tabs)
  const lines = await tabs[0].page.evaluate(async () => {
    const { appended } = await (await client.openStore("log")).load("log")
    return appended.map(line => new TextDecoder().decode(line))
  })
  const seqs = byTab(lines)
  for (const [tab, count] of told) assert.ok((seqs.get(tab)?.length ?? 0) >= count, `${tab} was told ${count}`)
  for (const own of seqs.values())
    assert.deepEqual(
      own.map(line => Number(line.split(" ")[1])),
      own.map((_, at) => at + 1),
    )
  assert.equal(seqs.size, 23)
})

function byTab(lines) {
  const tabs = new Map()
  for (const line of lines) {
    const [tab] = line.split(" ")
    if (!tabs.has(tab)) tabs.set(tab, [])
    tabs.get(tab).push(line)
  }
  return tabs
}

inBrowser("who leads tells, answers, and learns who is gone", async visit => {
  const [first, second] = [await enter(visit, 0), await enter(visit, 0)]
  assert.equal((await leaderOf([first, second])).id, first.id)
  await second.page.evaluate(() => tabs.post("one"))
  assert.deepEqual(await second.page.evaluate(() => tabs.ask({ how: "many" })), [{ how: "many" }, 1])
  assert.equal(await second.page.evaluate(() => tabs.ask(() => 1).catch(error => error.kind)), "invalid")
  await first.page.evaluate(() => tabs.tell(["news"]))
  await until(second.page, () => heard.length === 1)
  assert.deepEqual(await second.page.evaluate(() => heard), [["news"]])
  const refused = () => {
    try {
      tabs.tell(1)
    } catch (error) {
      return error.kind
    }
  }
  assert.equal(await second.page.evaluate(refused), "invalid")
  await second.page.close()
  await until(first.page, async id => (await client.openStore("log")).meta(`gone:${id}`), second.id)
})

inBrowser("a leader that cannot store, or whose lock is taken, gives way", async visit => {
  await visit.context.exposeFunction("toldStored", () => undefined)
  const pair = [await enter(visit, 1), await enter(visit, 1)]
  const [first, second] = pair
  await progress(pair)
  await first.page.evaluate(() => store.close())
  await progress(pair)
  await until(second.page, () => tabs.status.value.role === "leader")
  await first.page.evaluate(() => navigator.locks.request("selvedge:log:leader", { steal: true }, () => undefined))
  await until(first.page, () => tabs.status.value.role === "leader")
  await until(second.page, () => tabs.status.value.role === "follower")
  await progress(pair)
})

inBrowser("a leader whose page is put away gives way, and takes part again when it is shown", async visit => {
  await visit.context.exposeFunction("toldStored", () => undefined)
  const pair = [await enter(visit, 1), await enter(visit, 1)]
  const [first, second] = pair
  await progress(pair)
  const turn = (page, type) => page.evaluate(type => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), type)
  await turn(first.page, "pagehide")
  await until(second.page, () => tabs.status.value.role === "leader")
  await progress([second])
  assert.equal(await first.page.evaluate(() => tabs.status.value.role), "follower")
  await turn(first.page, "pageshow")
  await progress(pair)
  await second.page.close()
  await until(first.page, () => tabs.status.value.role === "leader")
  await progress([first])
})

inBrowser("a lock that is taken while a tab begins to lead is no lock", async visit => {
  const page = await visit.open()
  const lead = page.evaluate(async () => {
    let begin
    const begun = new Promise(resolve => (begin = resolve))
    let release
    const opened = new Promise(resolve => (release = resolve))
    const ended = []
    const leading = { stored: async () => 0, store: async () => undefined, end: () => ended.push("ended") }
    const lead = async () => {
      begin()
      await opened
      return leading
    }
    const tabs = await client.Tabs.join("log", { lead })
    const roles = []
    tabs.status.watch(({ role }) => roles.push(role))
    await begun
    let leave
    const taken = new Promise(resolve => {
      void navigator.locks.request("selvedge:log:leader", { steal: true }, () => {
        resolve()
        return new Promise(end => (leave = end))
      })
    })
    await taken
    release()
    while (ended.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
    const before = roles.includes("leader")
    leave()
    while (tabs.status.value.role !== "leader") await new Promise(resolve => setTimeout(resolve, 10))
    await tabs.close()
    return [before, ended.length]
  })
  const roles = await inTime(lead, "the tab to give way, and to lead")
  assert.deepEqual(roles, [false, 2])
})

inBrowser("a page without locks is told, for it would not see the others", async visit => {
  await visit.context.addInitScript(() => Object.defineProperty(navigator, "locks", { value: undefined }))
  const page = await visit.open()
  const join = () => client.Tabs.join("log", { lead: async () => undefined }).catch(error => error.kind)
  assert.equal(await page.evaluate(join), "unsupported")
  assert.equal(
    await page.evaluate(() => client.leadMeanwhile("log", async () => undefined).catch(error => error.kind)),
    "unsupported",
  )
})

test("what cannot be stored now is stored later, and the tab knows why it waits", async () => {
  let failures = 2
  const stored = []
  const store = async (_tab, posts) => {
    if (failures-- > 0) throw new ClientError("full", "the disk is full")
    stored.push(...posts.map(({ seq }) => seq))
  }
  const tabs = await Tabs.join("bot", { lead: async () => ({ isVolatile: true, stored: async () => 0, store }) })
  const troubles = []
  tabs.status.watch(({ trouble, waiting }) => troubles.push(`${trouble?.kind} ${waiting}`))
  await Promise.all([tabs.post("a"), tabs.post("b")])
  assert.deepEqual(stored, [1, 2])
  assert.ok(troubles.includes("full 2"), troubles.join())
  assert.deepEqual(tabs.status.value, { role: "leader", isVolatile: true, waiting: 0, trouble: undefined })
  await tabs.close()
})

test("a tab of which nothing is known any more goes on where it was", async () => {
  const [sent, stored] = [[], []]
  const store = async (_tab, posts) => void stored.push(...posts.map(({ seq }) => seq))
  const office = await Office.open({ lead: async () => ({ stored: async () => 0, store }) }, message => sent.push(message))
  office.receive({ type: "post", term: office.term, tab: "a", posts: [{ seq: 57 }, { seq: 58 }] })
  await office.leave(new ClientError("closed", "the end"))
  assert.deepEqual([stored, sent.at(-1).seq], [[57, 58], 58])
})

test("what leads and cannot say who is known is ended", async () => {
  let isEnded = false
  const known = () => Promise.reject(new ClientError("unavailable", "no"))
  const lead = async () => ({ known, end: () => void (isEnded = true) })
  await assert.rejects(
    Office.open({ lead }, () => undefined),
    { kind: "unavailable" },
  )
  assert.equal(isEnded, true)
})

test("who has lost what it leads with gives way, though nobody writes", async () => {
  let times = 0
  const lead = async () => {
    const lost = new AbortController()
    if (++times === 1) setTimeout(() => lost.abort(new ClientError("closed", "it was taken away")))
    return { lost: lost.signal, stored: async () => 0, store: async () => undefined }
  }
  const tabs = await Tabs.join("bot", { lead })
  await eventually(() => times === 2, "a tab to lead again")
  await tabs.post("a")
  await tabs.close()
})

test("who cannot begin to lead says why, and one that is outdated never leads", async () => {
  let calls = 0
  const lead = async () => {
    calls++
    throw new ClientError("outdated", "a newer version was here")
  }
  const tabs = await Tabs.join("bot", { lead })
  const refused = assert.rejects(tabs.post("a"), { kind: "closed" })
  await tabs.close()
  await refused
  assert.equal(calls, 1)
  assert.equal(tabs.status.value.trouble.kind, "outdated")
})

test("where there are no locks, a tab is alone", { skip: Boolean(globalThis.navigator?.locks) }, async () => {
  const stored = []
  const leading = {
    stored: async () => 0,
    store: async (_tab, posts) => void stored.push(...posts),
    answer: async () => stored.length,
  }
  const tabs = await Tabs.join("bot", { lead: async () => leading })
  await Promise.all([tabs.post("a"), tabs.post("b")])
  assert.deepEqual(stored, [
    { seq: 1, body: "a" },
    { seq: 2, body: "b" },
  ])
  assert.equal(await tabs.ask("how many?"), 2)
  await tabs.close()
  await assert.rejects(tabs.post("c"), { kind: "closed" })
})
