// An application with a service worker, in versions.
import { createHash } from "node:crypto"
import { packageFiles, page } from "./site.js"
import { eventually, inTime, pause } from "./waits.js"

/** So long until a worker that has sent nothing is woken again. */
const AGAIN_MS = 3_000

/** The package, as part of an application. */
const PACKAGE = await packageFiles()

/** What a worker does not catch comes to its console, where a test hears it. */
const HEARD = `self.addEventListener("unhandledrejection", ({ reason }) => console.error("uncaught:", reason.message))`

/**
 * What a worker shows it tells pages as well: a browser that is asked for its notices while one of them is being shown takes that one for gone, and forgets
 * it.
 */
export const TELLS_NOTICES = `const { showNotification } = ServiceWorkerRegistration.prototype
ServiceWorkerRegistration.prototype.showNotification = async function (title, options) {
  await showNotification.call(this, title, options)
  const channel = new BroadcastChannel("notices")
  channel.postMessage({ title, body: options.body, tag: options.tag })
}`

/** Has a tab hear which notices are shown from here on. */
export const hearNotices = tab =>
  tab.evaluate(() => {
    globalThis.notices = []
    globalThis.noticed = new BroadcastChannel("notices")
    noticed.onmessage = ({ data }) => notices.push(data)
  })

/** The notices that a tab heard of, once they are so many. */
export const heardNotices = (tab, count) => until(tab, count => notices.length >= count && notices, count)

/** Puts a version of an application on a site. */
export function release(site, version, files = {}, options = "") {
  const own = {
    "/index.html": page(version),
    "/lazy.js": `export default "lazy ${version}"`,
    "/offline.html": page("offline"),
    ...files,
  }
  for (const [path, text] of Object.entries(own)) site.files.set(path, text)
  site.files.set("/", own["/index.html"])
  const listed = Object.entries({ ...PACKAGE, ...own }).map(([path, text]) => [path.slice(1), sha256(text)])
  const manifest = { version, files: listed }
  site.files.set(
    "/sw.js",
    `${HEARD}\n${TELLS_NOTICES}\nimport * as kit from "/dist/worker.js"\nkit.serve({ manifest: ${JSON.stringify(manifest)}, ${options} })`,
  )
}

export const sha256 = text => createHash("sha256").update(text).digest("hex")

/** Opens the application, installed. */
export async function install(visit, path = "/") {
  const tab = await visit.open(path)
  await tab.evaluate(async () => {
    const controlled = new Promise(resolve => {
      if (navigator.serviceWorker.controller) resolve()
      navigator.serviceWorker.addEventListener("controllerchange", resolve)
    })
    globalThis.app = await client.Installation.install("/sw.js")
    await controlled
  })
  return tab
}

/** Waits in a tab until a condition holds there, which may be a promise, and returns what it is then. */
export const until = (tab, condition, argument) =>
  inTime(
    tab.evaluate(
      async ([source, argument]) => {
        const condition = (0, eval)(source)
        for (;;) {
          const value = await condition(argument)
          if (value) return value
          await new Promise(resolve => setTimeout(resolve, 20))
        }
      },
      [condition.toString(), argument],
    ),
    `${condition} with ${JSON.stringify(argument)}`,
  )

/** Has the browser do something to the worker of a site, such as wake it. */
export async function workerControl(visit, tab) {
  const devtools = await visit.devtools(tab)
  const registered = new Promise(resolve => {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations: [first] }) => first && resolve(first.registrationId))
  })
  const running = new Set()
  let stopped
  devtools.on("ServiceWorker.workerVersionUpdated", ({ versions }) => {
    for (const { versionId, runningStatus } of versions) running[runningStatus === "stopped" ? "delete" : "add"](versionId)
    if (running.size === 0) stopped?.()
  })
  await devtools.send("ServiceWorker.enable")
  const which = { origin: visit.site.origin, registrationId: await inTime(registered, "a registered worker") }
  const sync = () => devtools.send("ServiceWorker.dispatchSyncEvent", { ...which, tag: "selvedge-flush", lastChance: false })
  return {
    sync,
    /** Wakes it until something has come: a tab that is just gone seems to lead for a moment, and would be asked to send. */
    syncUntil: (come, what) => {
      const isThere = come.then(() => true)
      // Whoever fails before looks at it is told of that, and not of this too.
      isThere.catch(() => undefined)
      return eventually(async () => (await sync(), Promise.race([isThere, pause(AGAIN_MS)])), what)
    },
    push: data => devtools.send("ServiceWorker.deliverPushMessage", { ...which, data }),
    /** Ends it, whatever it does; it is gone when this resolves. */
    stop: async () => {
      const gone = new Promise(resolve => (running.size === 0 ? resolve() : (stopped = resolve)))
      await devtools.send("ServiceWorker.stopAllWorkers")
      await inTime(gone, "the worker to be gone")
    },
  }
}
