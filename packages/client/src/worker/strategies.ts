/** How a request is answered. It fails as `fetch` does. */
export type Strategy = (request: Request, event: ExtendableEvent) => Promise<Response>

/** What a strategy keeps. */
export interface CacheOptions {
  /** The cache's name. */
  readonly cache: string
  /** So many answers are kept; those that came first go first. 100 unless given. */
  readonly entriesMax?: number
}

/** What is kept counts; what is not comes from the network, and is kept. For what never changes under its name. */
export function cacheFirst(options: CacheOptions): Strategy {
  return async (request, event) => (await kept(options, request)) ?? fetchAndKeep(options, request, event)
}

/** The network counts; what is kept is for when it fails, or takes longer than `timeoutMs`. For what should be fresh. */
export function networkFirst(options: CacheOptions & { readonly timeoutMs?: number }): Strategy {
  return async (request, event) => {
    const fresh = fetchAndKeep(options, request, event)
    try {
      return await inTime(fresh, options.timeoutMs)
    } catch {
      return (await kept(options, request)) ?? fresh
    }
  }
}

/** What is kept is the answer, and is fetched anew for the next time. For what may be a little old. */
export function staleWhileRevalidate(options: CacheOptions): Strategy {
  return async (request, event) => {
    const fresh = fetchAndKeep(options, request, event)
    // Without the network the old one stays.
    event.waitUntil(fresh.catch(() => undefined))
    return (await kept(options, request)) ?? fresh
  }
}

/** The network alone. */
export function networkOnly(): Strategy {
  return request => fetch(request)
}

/** What is kept, and nothing else. */
export function cacheOnly({ cache }: Pick<CacheOptions, "cache">): Strategy {
  return async request => (await kept({ cache }, request)) ?? Response.error()
}

const cacheName = ({ cache }: CacheOptions) => `selvedge-answers:${cache}`

/** What is kept, if the browser can read it. */
async function kept(options: CacheOptions, request: Request): Promise<Response | undefined> {
  try {
    const cache = await caches.open(cacheName(options))
    return await cache.match(request)
  } catch {
    return undefined
  }
}

async function fetchAndKeep(options: CacheOptions, request: Request, event: ExtendableEvent): Promise<Response> {
  // From here on, so that the event still lives when the answer comes.
  const fetched = fetch(request)
  event.waitUntil(fetched.then(response => keep(options, request, response.clone())).catch(() => undefined))
  return fetched
}

async function keep(options: CacheOptions, request: Request, response: Response): Promise<void> {
  if (!isWorthKeeping(response)) return
  const cache = await caches.open(cacheName(options))
  // Made anew: what was redirected could not answer for a page later.
  await cache.put(request, response.redirected ? new Response(response.body, response) : response)
  const keys = await cache.keys()
  const surplus = keys.slice(0, Math.max(0, keys.length - (options.entriesMax ?? 100)))
  await Promise.all(surplus.map(key => cache.delete(key)))
}

/** Whole answers that we may look into, and whose sender does not forbid it. */
function isWorthKeeping({ status, type, headers }: Response): boolean {
  const forbidden = /no-store/i.test(headers.get("cache-control") ?? "") || headers.get("vary")?.includes("*")
  return status === 200 && type !== "opaque" && !forbidden
}

function inTime<T>(promise: Promise<T>, timeoutMs: number | undefined): Promise<T> {
  if (timeoutMs === undefined) return promise
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("it takes too long")), timeoutMs)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
