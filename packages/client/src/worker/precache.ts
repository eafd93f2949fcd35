import { ClientError } from "../error.js"
import { filesOf } from "./words.js"

declare const self: ServiceWorkerGlobalScope

/** The files of a version of an application. */
export interface Manifest {
  /** What tells versions apart. */
  readonly version: string
  /** Paths beside the worker's script, each with the SHA-256 of what is there, in hexadecimal. */
  readonly files: readonly (readonly [path: string, sha256: string])[]
}

/** How many files are fetched at a time. */
const FETCHES = 6

/** Carries a file's hash in the cache. */
const HASH = "x-selvedge-sha256"

/** Which version is used, and by which clients an older one still is. */
interface Usage {
  readonly version: string | undefined
  readonly older: Readonly<Record<string, string>>
}

/**
 * The files of a version, in a cache of their own. Clients that were open when the version took over keep those of theirs
 * until they are gone.
 */
export class Precache {
  readonly #manifest: Manifest
  readonly #files: ReadonlySet<string>
  /** Undefined until it was read: a worker is started and stopped at any time. */
  #usage: Usage | undefined

  constructor(manifest: Manifest) {
    this.#manifest = manifest
    this.#files = new Set(manifest.files.map(([path]) => urlOf(path)))
  }

  /** Fetches what older versions have not; all of it, or nothing. */
  async install(): Promise<void> {
    const { version, files } = this.#manifest
    const older = await Promise.all((await versions()).map(openVersion))
    const isNew = !(await caches.has(cacheName(version)))
    try {
      const cache = await openVersion(version)
      await eachOf(files, async ([path, hash]) => {
        await cache.put(urlOf(path), (await found(older, path, hash)) ?? (await download(path, hash)))
      })
    } catch (error) {
      if (isNew) await caches.delete(cacheName(version))
      throw error
    }
  }

  /** Takes over. */
  async activate(): Promise<void> {
    const { version, older } = await this.#read()
    const clients = await livingClients()
    const theirs = clients.map(id => [id, older[id] ?? version] as const)
    const others = theirs.filter(([, own]) => own && own !== this.#manifest.version)
    await this.#write({ version: this.#manifest.version, older: Object.fromEntries(others) as Record<string, string> })
  }

  /** Forgets versions that nobody uses any more. */
  async sweep(): Promise<void> {
    const { version, older } = await this.#read()
    const clients = await livingClients()
    const left = Object.entries(older).filter(([id]) => clients.includes(id))
    if (left.length < Object.keys(older).length) await this.#write({ version, older: Object.fromEntries(left) })
  }

  /** Whether this may be a file of ours, as far as is known without waiting. */
  mayHave(url: URL): boolean {
    if (url.origin !== self.location.origin) return false
    return this.#files.has(url.href) || !this.#usage || Object.keys(this.#usage.older).length > 0
  }

  /** A file, as the client's version has it. */
  async file({ clientId, request }: FetchEvent, url: URL): Promise<Response | undefined> {
    // A part of a file is for the server to cut.
    if (request.headers.has("range")) return undefined
    const { older } = await this.#read()
    const cache = await openVersion(older[clientId] ?? this.#manifest.version)
    return cache.match(url.href)
  }

  /** The file of a page: by its path, the index of a folder, or without its extension. */
  async page(url: URL): Promise<Response | undefined> {
    const path = url.origin + url.pathname
    const file = [path, `${path}index.html`, `${path}.html`].find(name => this.#files.has(name))
    return file === undefined ? undefined : (await openVersion(this.#manifest.version)).match(file)
  }

  /** A file by its path in the manifest. */
  async named(path: string | undefined): Promise<Response | undefined> {
    return path === undefined ? undefined : (await openVersion(this.#manifest.version)).match(urlOf(path))
  }

  async #read(): Promise<Usage> {
    if (!this.#usage) {
      const cache = await caches.open(usageName())
      const response = await cache.match(self.registration.scope)
      this.#usage = response ? ((await response.json()) as Usage) : { version: undefined, older: {} }
    }
    return this.#usage
  }

  /** Sets who uses what; what nobody does goes. A version that waits for its turn stays. */
  async #write(usage: Usage): Promise<void> {
    this.#usage = usage
    const cache = await caches.open(usageName())
    await cache.put(self.registration.scope, Response.json(usage))
    const waiting = self.registration.waiting ?? self.registration.installing
    const used = new Set([usage.version, ...Object.values(usage.older)])
    const unused = waiting ? [] : (await versions()).filter(version => !used.has(version))
    await Promise.all(unused.map(version => caches.delete(cacheName(version))))
  }
}

const prefix = () => filesOf(self.registration.scope)
const cacheName = (version: string) => prefix() + version
const usageName = () => `selvedge-usage:${self.registration.scope}`
const openVersion = (version: string) => caches.open(cacheName(version))
const urlOf = (path: string) => new URL(path, self.location.href).href

/** Versions that are here, or were on their way here. */
async function versions(): Promise<string[]> {
  const names = await caches.keys()
  return names.filter(name => name.startsWith(prefix())).map(name => name.slice(prefix().length))
}

async function livingClients(): Promise<string[]> {
  const clients = await self.clients.matchAll({ type: "all", includeUncontrolled: true })
  return clients.map(({ id }) => id)
}

/** The same file in another version. */
async function found(caches: readonly Cache[], path: string, hash: string): Promise<Response | undefined> {
  for (const cache of caches) {
    const response = await cache.match(urlOf(path))
    if (response?.headers.get(HASH) === hash) return response
  }
  return undefined
}

/** What told of the bytes on the wire, or of requests that would get others: a list of files has one of each. */
const OF_THE_WIRE = ["content-encoding", "content-length", "transfer-encoding", "vary"]

/** Fetches a file past all caches. One of another version, as while a site is being changed, is refused. */
async function download(path: string, hash: string): Promise<Response> {
  const response = await fetch(urlOf(path), { cache: "no-cache" })
  const body = await response.arrayBuffer()
  if (!response.ok || (await sha256(body)) !== hash) {
    throw new ClientError("unavailable", `${path} is not the file of this version (status ${response.status})`)
  }
  const headers = new Headers(response.headers)
  for (const name of OF_THE_WIRE) headers.delete(name)
  headers.set(HASH, hash)
  // Made anew: what was redirected could not answer for a page.
  return new Response(body, { headers })
}

async function sha256(bytes: ArrayBuffer): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  return Array.from(hash, byte => byte.toString(16).padStart(2, "0")).join("")
}

/** Works on all of these, a few at a time; the first failure ends it. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values()
  let isFailed = false
  const worker = async () => {
    for (const item of left) {
      if (isFailed) return
      await work(item)
    }
  }
  const done = await Promise.allSettled(Array.from({ length: FETCHES }, () => worker().catch(fail)))
  const failure = done.find(({ status }) => status === "rejected")
  if (failure) throw (failure as PromiseRejectedResult).reason

  function fail(error: unknown): never {
    isFailed = true
    throw error
  }
}
