import { leadMeanwhile } from "./tabs.js"
import { Precache, type Manifest } from "./worker/precache.js"
import type { Pusher } from "./worker/pusher.js"
import type { Strategy } from "./worker/strategies.js"
import { inTurn } from "./worker/turns.js"
import { FLUSH, TAKE_OVER } from "./worker/words.js"

export { cacheFirst, cacheOnly, networkFirst, networkOnly, staleWhileRevalidate } from "./worker/strategies.js"
export type { CacheOptions, Strategy } from "./worker/strategies.js"
export type { Manifest } from "./worker/precache.js"
export type { Pusher } from "./worker/pusher.js"
export { ClientError, type ErrorKind } from "./error.js"
export { leadMeanwhile } from "./tabs.js"
export { openStore } from "./store.js"
export type { Change, Found, Saved, Store, StoreOptions, Transaction } from "./store.js"

declare const self: ServiceWorkerGlobalScope

/** Requests that a strategy answers. */
export interface Route {
  matches(url: URL, request: Request): boolean
  readonly answer: Strategy
}

/** How long a push message waits for what the relay has before the person is told. */
const FETCH_MS = 10_000

/** What a person is shown. */
export interface Notice {
  readonly title: string
  readonly body?: string
  readonly icon?: string
  /** A notice replaces one with the same tag. */
  readonly tag?: string
  /** What is opened by a click, if no window is open; the start of the scope unless given. */
  readonly url?: string
}

/** What a service worker does. */
export interface WorkerOptions {
  /** The files of this version, as `selvedge-precache` lists them. They are all there before the version is used. */
  readonly manifest: Manifest
  /** For requests that no file answers; the first that matches counts. Only GET is ever answered. */
  readonly routes?: readonly Route[]
  /** The file for pages without an extension that neither a file nor a route answers. */
  readonly fallback?: string
  /** The file for pages that the network would have to answer, and does not. */
  readonly offline?: string
  /** The store whose outbox `flush` sends. */
  readonly store?: string
  /**
   * Sends what waits while no tab leads; a tab that leads is asked to do it itself. It may be killed at any time, and is called again if it
   * fails: sending something twice must do nothing. It is never called while it is under way, but once more behind that.
   */
  readonly flush?: () => Promise<void>
  /**
   * A push message came, and what the relay has was fetched by `flush`, if that took no longer than ten seconds. Browsers want the person to be shown something,
   * if no window is.
   */
  readonly wake?: (message: PushMessageData | null) => Promise<Notice | undefined>
  /**
   * Who is told when the browser replaces its subscription to push messages, as some do now and then: `pusherOf` of `@selvedge/client/flush` tells the relay.
   * Without it nobody is, before the application is opened again.
   */
  readonly pusher?: Pusher
}

/** Sets a service worker going; called once, while its script is first run. */
export function serve(options: WorkerOptions): void {
  const precache = new Precache(options.manifest)
  const flushNow = inTurn(() => flush(options))
  self.addEventListener("install", event => event.waitUntil(precache.install()))
  self.addEventListener("activate", event => event.waitUntil(precache.activate().then(() => self.clients.claim())))
  self.addEventListener("fetch", event => {
    const answer = respond(event, options, precache)
    if (answer) event.respondWith(answer)
  })
  self.addEventListener("message", event => {
    if (event.data === TAKE_OVER) event.waitUntil(self.skipWaiting())
    if (event.data === FLUSH) event.waitUntil(flushNow())
  })
  self.addEventListener("sync", event => {
    const { tag, waitUntil } = event as SyncEvent
    if (tag === FLUSH) waitUntil.call(event, flushNow())
  })
  self.addEventListener("pushsubscriptionchange", event => {
    const change = event as SubscriptionChange
    // Kept first, and said with what is sent.
    change.waitUntil(resubscribe(options, change).then(flushNow))
  })
  self.addEventListener("push", event => event.waitUntil(wake(options, flushNow(), event.data)))
  self.addEventListener("notificationclick", event => event.waitUntil(openWindow(event.notification)))
}

/** Not among the types that come with the compiler. */
interface SyncEvent extends ExtendableEvent {
  readonly tag: string
}

/** Browsers differ in what they say of either; some say nothing. */
interface SubscriptionChange extends ExtendableEvent {
  readonly oldSubscription?: PushSubscription | null
  readonly newSubscription?: PushSubscription | null
}

/** The answer to a request, if it is ours to give. */
function respond(event: FetchEvent, options: WorkerOptions, precache: Precache): Promise<Response> | undefined {
  const { request } = event
  if (request.method !== "GET") return undefined
  const url = new URL(request.url)
  if (request.mode === "navigate") return respondPage(event, url, options, precache)
  const route = routeOf(options, url, request)
  if (!route && !precache.mayHave(url)) return undefined
  return respondPart(event, url, route, precache)
}

async function respondPart(event: FetchEvent, url: URL, route: Route | undefined, precache: Precache): Promise<Response> {
  const { request } = event
  try {
    const file = await precache.file(event, url).catch(() => undefined)
    return file ?? (await (route ? route.answer(request, event) : fetch(request)))
  } catch {
    // For the page it is the same as a failure, which would also come to the worker's console.
    return Response.error()
  }
}

async function respondPage(event: FetchEvent, url: URL, options: WorkerOptions, precache: Precache): Promise<Response> {
  const { request } = event
  event.waitUntil(precache.sweep().catch(() => undefined))
  // Where the browser cannot read its own cache there is still the network.
  const page = await precache.page(url).catch(() => undefined)
  if (page) return page
  try {
    const route = routeOf(options, url, request)
    if (route) return await route.answer(request, event)
    const fallback = hasExtension(url) ? undefined : await precache.named(options.fallback).catch(() => undefined)
    return fallback ?? (await fetch(request))
  } catch {
    return (await precache.named(options.offline).catch(() => undefined)) ?? Response.error()
  }
}

function routeOf({ routes = [] }: WorkerOptions, url: URL, request: Request): Route | undefined {
  return routes.find(route => route.matches(url, request))
}

function hasExtension({ pathname }: URL): boolean {
  return /\.[^/]*$/.test(pathname)
}

async function flush({ store, flush }: WorkerOptions): Promise<void> {
  if (!flush) return
  if (store && (await leadMeanwhile(store, flush))) return
  if (!store) return flush()
  for (const tab of await self.clients.matchAll({ type: "window" })) tab.postMessage(FLUSH)
}

/** The documents that changed, as a relay says in its push messages; none where the message is another. */
export function changedDocuments(message: PushMessageData | null): readonly string[] {
  try {
    const { documents } = message?.json() as { documents?: unknown }
    return Array.isArray(documents) ? documents.filter(name => typeof name === "string") : []
  } catch {
    return []
  }
}

/** The person is told in any case: a browser takes the right to be woken from who does not. `flushed` began after the message came. */
async function wake(options: WorkerOptions, flushed: Promise<void>, message: PushMessageData | null): Promise<void> {
  const fetched = flushed.catch(() => undefined)
  await Promise.race([fetched, new Promise(resolve => setTimeout(resolve, FETCH_MS))])
  const notice = await options.wake?.(message)
  if (notice) {
    const { title, url, ...shown } = notice
    await self.registration.showNotification(title, { ...shown, data: url })
  }
  await fetched
}

/** Where this browser was reached before, it is no more. */
async function resubscribe({ pusher }: WorkerOptions, change: SubscriptionChange): Promise<void> {
  if (!pusher || !(await pusher.isWanted())) return
  const subscription = change.newSubscription ?? (await subscribe(pusher, change.oldSubscription?.options.applicationServerKey))
  await pusher.reached(subscription?.toJSON())
}

/** Subscribes with a key, which is asked for where it is not known; undefined: the person does not allow it. */
async function subscribe(pusher: Pusher, known: ArrayBuffer | null | undefined): Promise<PushSubscription | undefined> {
  const key = known ? new Uint8Array(known) : await pusher.key()
  try {
    return await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotAllowedError") return undefined
    throw error
  }
}

async function openWindow(notification: Notification): Promise<void> {
  notification.close()
  const [open] = await self.clients.matchAll({ type: "window" })
  if (open) await open.focus()
  else await self.clients.openWindow((notification.data as string | undefined) ?? self.registration.scope)
}
