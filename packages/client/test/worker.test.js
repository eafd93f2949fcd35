import assert from "node:assert/strict"
import { install, release, until } from "./application.js"
import { inBrowser } from "./browser.js"
import { page } from "./site.js"
import { eventually } from "./waits.js"

const lazy = tab => tab.evaluate(async () => (await (await fetch("/lazy.js")).text()).match(/"(.*)"/)[1])

inBrowser("an installed application starts without a network", async visit => {
  release(
    visit.site,
    "v1",
    { "/help.html": page("help"), "/docs/index.html": page("docs") },
    `fallback: "index.html", offline: "offline.html"`,
  )
  const tab = await install(visit)
  await visit.context.setOffline(true)
  const title = async path => {
    await tab.goto(visit.site.origin + path)
    return tab.title()
  }
  assert.equal(await title("/"), "v1")
  assert.equal(await title("/help"), "help")
  assert.equal(await title("/docs/?q=1"), "docs")
  assert.equal(await title("/notes/7"), "v1", "the fallback")
  assert.equal(await title("/report.pdf"), "offline", "a file is no page of the application")
  assert.equal(await lazy(tab), "lazy v1")
})

inBrowser("an update waits, is asked for, and reloads all tabs together", async visit => {
  release(visit.site, "v1")
  const [one, two] = [await install(visit), await install(visit)]
  release(visit.site, "v2")
  visit.site.asked.length = 0
  await one.evaluate(() => app.check())
  await until(one, () => app.status.value.isUpdateReady)
  await until(two, () => app.status.value.isUpdateReady)
  assert.ok(!visit.site.asked.includes("/offline.html"), "what did not change is not fetched again")
  assert.deepEqual([await lazy(one), await two.title()], ["lazy v1", "v1"])
  const three = await visit.open()
  assert.equal(await three.title(), "v1", "a tab that is opened now is of the version that is used")
  await Promise.all([...[one, two].map(tab => tab.waitForEvent("load")), one.evaluate(() => app.update())])
  assert.deepEqual(await Promise.all([one.title(), two.title()]), ["v2", "v2"])
  assert.equal(await lazy(one), "lazy v2")
})

inBrowser("a tab of the old version keeps its files after the new one took over", async visit => {
  release(visit.site, "v1", { "/old.js": "1" })
  const [one, two] = [await install(visit), await visit.open()]
  visit.site.files.delete("/old.js")
  release(visit.site, "v2")
  await one.evaluate(() => app.check())
  await until(one, () => app.status.value.isUpdateReady)
  await Promise.all([one.waitForEvent("load"), one.evaluate(() => app.update())])
  const keeps = async () => {
    assert.deepEqual([await one.title(), await lazy(one)], ["v2", "lazy v2"])
    assert.deepEqual([await two.title(), await lazy(two)], ["v1", "lazy v1"])
    assert.equal(await two.evaluate(async () => (await fetch("/old.js")).text()), "1")
  }
  await keeps()
  const devtools = await visit.devtools(one)
  await devtools.send("ServiceWorker.enable")
  await devtools.send("ServiceWorker.stopAllWorkers")
  await keeps()
  const versions = () => one.evaluate(async () => (await caches.keys()).filter(name => name.startsWith("selvedge-files:")).length)
  assert.equal(await versions(), 2)
  await two.close()
  // A closed tab is a client for a moment longer.
  const isGone = async () => {
    await one.reload()
    return (await versions()) === 1
  }
  await eventually(isGone, "the files of the old version to go")
})

inBrowser("a version whose files are not all there is not installed", async visit => {
  release(visit.site, "v1")
  const tab = await install(visit)
  release(visit.site, "v2")
  visit.site.files.set("/lazy.js", `export default "lazy v3"`)
  visit.mayHear(/lazy\.js is not the file of this version/)
  await tab.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready
    const failed = new Promise(resolve => {
      registration.addEventListener("updatefound", () => {
        const { installing } = registration
        installing.addEventListener("statechange", () => installing.state === "redundant" && resolve())
      })
    })
    await Promise.all([app.check().catch(() => undefined), failed])
  })
  assert.equal(await lazy(tab), "lazy v1")
  assert.equal(await tab.evaluate(async () => (await caches.keys()).filter(name => name.startsWith("selvedge-files:")).length), 1)
  release(visit.site, "v2")
  await tab.evaluate(() => app.check())
  await until(tab, () => app.status.value.isUpdateReady)
})

const ROUTES = `routes: [
  { matches: url => url.pathname.startsWith("/cache-first"), answer: kit.cacheFirst({ cache: "a", entriesMax: 2 }) },
  { matches: url => url.pathname.startsWith("/network-first"), answer: kit.networkFirst({ cache: "b" }) },
  { matches: url => url.pathname.startsWith("/in-time"), answer: kit.networkFirst({ cache: "b", timeoutMs: 50 }) },
  { matches: url => url.pathname.startsWith("/stale"), answer: kit.staleWhileRevalidate({ cache: "c" }) },
  { matches: url => url.pathname.startsWith("/network-only"), answer: kit.networkOnly() },
  { matches: url => url.pathname.startsWith("/cache-only"), answer: kit.cacheOnly({ cache: "b" }) },
]`

inBrowser("each strategy answers from where it should", async visit => {
  release(visit.site, "v1", {}, ROUTES)
  let count = 0
  const counting = headers => (_request, response) => response.writeHead(200, headers).end(String(++count))
  for (const name of ["cache-first", "network-first", "stale", "network-only"]) visit.site.files.set(`/${name}`, counting({}))
  visit.site.files.set("/cache-first/secret", counting({ "cache-control": "no-store" }))
  visit.site.files.set("/cache-first/2", counting({}))
  visit.site.files.set("/cache-first/3", counting({}))
  const tab = await install(visit)
  const get = path =>
    tab.evaluate(
      path =>
        fetch(path).then(
          response => response.text(),
          () => "failed",
        ),
      path,
    )
  const isKept = (cache, paths) =>
    until(
      tab,
      async ([cache, paths]) => {
        const keys = await (await caches.open(`selvedge-answers:${cache}`)).keys()
        return paths.join() === keys.map(({ url }) => new URL(url).pathname).join()
      },
      [cache, paths],
    )

  assert.equal(await get("/cache-first"), "1")
  await isKept("a", ["/cache-first"])
  assert.equal(await get("/cache-first"), "1")
  assert.deepEqual([await get("/cache-first/secret"), await get("/cache-first/secret")], ["2", "3"])
  await get("/cache-first/2")
  await isKept("a", ["/cache-first", "/cache-first/2"])
  await get("/cache-first/3")
  await isKept("a", ["/cache-first/2", "/cache-first/3"])

  count = 10
  assert.equal(await get("/network-first"), "11")
  await isKept("b", ["/network-first"])
  assert.equal(await get("/network-first"), "12")
  await until(tab, async () => (await (await caches.match("/network-first")).text()) === "12")
  assert.equal(await get("/stale"), "13")
  await isKept("c", ["/stale"])
  assert.equal(await get("/stale"), "13")
  await until(tab, async () => (await (await caches.match("/stale")).text()) === "14")
  assert.equal(await get("/network-only"), "15")

  // A server that does not answer any more, until it is let go.
  const held = []
  visit.site.files.set("/in-time", (_request, response) => response.end("first"))
  assert.equal(await get("/in-time"), "first")
  await isKept("b", ["/network-first", "/in-time"])
  visit.site.files.set("/in-time", (_request, response) => held.push(response))
  assert.equal(await get("/in-time"), "first")
  held.forEach(response => response.end("late"))

  visit.mayHear(/Failed to load resource|net::ERR/)
  await visit.context.setOffline(true)
  const offline = ["/cache-first/3", "/network-first", "/stale", "/network-only", "/cache-only"]
  assert.deepEqual(await Promise.all(offline.map(get)), ["5", "12", "14", "failed", "failed"])
})

inBrowser("what a cache does not keep as it came is kept all the same", async visit => {
  release(visit.site, "v1", {}, `offline: "offline.html", ${ROUTES.replace("/network-first", "/page")}`)
  visit.site.files.set("/lazy.js", (_request, response) => {
    response.writeHead(200, { vary: "*", "content-type": "text/javascript" }).end(`export default "lazy v1"`)
  })
  visit.site.files.set("/page", (_request, response) => response.writeHead(302, { location: "/page/there" }).end())
  visit.site.files.set("/page/there", page("there"))
  const tab = await install(visit)
  assert.equal(await lazy(tab), "lazy v1")
  await tab.evaluate(async () => (await fetch("/page")).text())
  await until(tab, async () => Boolean(await caches.match("/page")))
  visit.mayHear(/net::ERR|Failed to load/)
  await visit.context.setOffline(true)
  await tab.goto(`${visit.site.origin}/page`)
  assert.equal(await tab.title(), "there")
})

inBrowser("a page is shown from the network where the browser cannot read its cache", async visit => {
  release(visit.site, "v1", {}, `fallback: "index.html", offline: "offline.html"`)
  const breaking = `self.addEventListener("message", ({ data, ports: [port] }) => {
    if (data !== "break") return
    CacheStorage.prototype.open = () => Promise.reject(new Error("broken"))
    port.postMessage("done")
  })`
  visit.site.files.set("/sw.js", `${visit.site.files.get("/sw.js")}\n${breaking}`)
  const tab = await install(visit)
  await tab.evaluate(() => {
    const { port1, port2 } = new MessageChannel()
    const done = new Promise(resolve => (port1.onmessage = resolve))
    navigator.serviceWorker.controller.postMessage("break", [port2])
    return done
  })
  visit.site.files.set("/", page("of the network"))
  await tab.goto(`${visit.site.origin}/`)
  assert.equal(await tab.title(), "of the network")
  visit.site.files.set("/lazy.js", `export default "of the network"`)
  assert.equal(await lazy(tab), "of the network")
})
