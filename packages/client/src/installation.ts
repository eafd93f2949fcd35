import { Cell, type Watched } from "./cell.js"
import { ClientError, clientError } from "./error.js"
import { fromBase64 } from "./values.js"
import { FLUSH, TAKE_OVER } from "./worker/words.js"

/** An open tab looks for a new version when it is looked at, at most so often. */
const CHECK_MS_MIN = 3_600_000

/** How an application is installed. */
export interface InstallOptions {
  /** The paths that the worker answers for; those beside its script unless given. */
  readonly scope?: string
  /** `classic` for a script that was bundled; `module` unless given. */
  readonly type?: WorkerType
  /** Called before a tab is loaded anew because another version took over; it is not, before this resolves. */
  readonly beforeReload?: () => void | Promise<void>
}

/** How the installed version stands. */
export interface InstallationStatus {
  /** A new version is there, and waits until no tab is open, or until `update` is called. */
  readonly isUpdateReady: boolean
}

/** The application in this browser: its service worker, seen from a page. */
export class Installation {
  readonly #registration: ServiceWorkerRegistration
  readonly #status = new Cell<InstallationStatus>({ isUpdateReady: false })
  #checked = Date.now()

  /** Installs the worker with this script, or finds it installed; it fails as `unsupported` where there can be none. */
  static async install(script: string | URL, options: InstallOptions = {}): Promise<Installation> {
    const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined
    if (!workers) throw new ClientError("unsupported", "there are no service workers here")
    reloadOnTakeOver(workers, options.beforeReload)
    const { scope, type = "module" } = options
    try {
      const registered = await workers.register(script, { type, updateViaCache: "none", ...(scope ? { scope } : {}) })
      return new Installation(registered)
    } catch (error) {
      throw clientError("installing the service worker", error)
    }
  }

  private constructor(registration: ServiceWorkerRegistration) {
    this.#registration = registration
    this.#follow()
    registration.addEventListener("updatefound", () => this.#follow())
    document.addEventListener("visibilitychange", () => this.#checkAgain())
    window.addEventListener("online", () => this.#checkAgain())
  }

  get status(): Watched<InstallationStatus> {
    return this.#status
  }

  /** Looks for a new version now. */
  async check(): Promise<void> {
    this.#checked = Date.now()
    try {
      await this.#registration.update()
    } catch (error) {
      throw clientError("looking for a new version", error)
    }
  }

  /** Has the version that waits take over; all tabs are loaded anew. */
  update(): void {
    this.#registration.waiting?.postMessage(TAKE_OVER)
  }

  /**
   * Asks for a flush of the outbox, by the worker if no tab is left. Where there is Background Sync it happens once there is a network, elsewhere now.
   * Returns whether there is.
   */
  async requestFlush(): Promise<boolean> {
    const registration = await navigator.serviceWorker.ready
    try {
      await (registration as SyncRegistration).sync?.register(FLUSH)
    } catch {
      // The person has forbidden it.
      registration.active?.postMessage(FLUSH)
      return false
    }
    if (!("sync" in registration)) registration.active?.postMessage(FLUSH)
    return "sync" in registration
  }

  /**
   * Subscribes to push messages, signed with this VAPID key (RFC 8292, base64url), and returns the subscription. An older one with another key is
   * replaced. It is `denied` unless the person allows notifications, for which a browser asks only after a click.
   */
  async subscribe(vapidKey: string): Promise<PushSubscriptionJSON> {
    const { pushManager } = await navigator.serviceWorker.ready
    const key = fromBase64(vapidKey)
    if (key.length === 0) throw new ClientError("invalid", "the key is not base64url")
    try {
      const old = await pushManager.getSubscription()
      if (old && sameBytes(old.options.applicationServerKey, key)) return old.toJSON()
      await old?.unsubscribe()
      const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })
      return made.toJSON()
    } catch (error) {
      // Browsers differ in what they throw then.
      if (Notification.permission !== "granted") throw new ClientError("denied", "notifications are not allowed", error)
      throw clientError("subscribing to push messages", error)
    }
  }

  /** Ends the subscription; returns whether there was one. */
  async unsubscribe(): Promise<boolean> {
    const { pushManager } = await navigator.serviceWorker.ready
    const subscription = await pushManager.getSubscription()
    return (await subscription?.unsubscribe()) ?? false
  }

  /** Follows a new version until it waits. */
  #follow(): void {
    const { installing } = this.#registration
    const look = () => {
      const isUpdateReady = this.#registration.waiting !== null && this.#registration.active !== null
      this.#status.set({ isUpdateReady })
    }
    installing?.addEventListener("statechange", look)
    look()
  }

  #checkAgain(): void {
    const isTime = document.visibilityState === "visible" && Date.now() - this.#checked >= CHECK_MS_MIN
    // Without a network there will be a next time.
    if (isTime) this.check().catch(() => undefined)
  }
}

interface SyncRegistration extends ServiceWorkerRegistration {
  readonly sync?: { register(tag: string): Promise<void> }
}

/**
 * Calls `flush` when there may be something to send and a way to send it: now, when the network comes, when the page is looked at again, and when the
 * worker asks. What is returned ends that.
 */
export function onFlushTime(flush: () => void): () => void {
  const ended = new AbortController()
  const { signal } = ended
  const whenVisible = () => document.visibilityState === "visible" && flush()
  window.addEventListener("online", () => flush(), { signal })
  document.addEventListener("visibilitychange", whenVisible, { signal })
  const asked = (event: MessageEvent) => event.data === FLUSH && flush()
  ;(navigator.serviceWorker as ServiceWorkerContainer | undefined)?.addEventListener("message", asked, { signal })
  flush()
  return () => ended.abort()
}

/** Loads the tab anew once another version took over; the first one takes over nothing. */
function reloadOnTakeOver(workers: ServiceWorkerContainer, before: InstallOptions["beforeReload"]): void {
  let last = workers.controller
  workers.addEventListener("controllerchange", async () => {
    const isFirst = last === null
    last = workers.controller
    if (isFirst) return
    await before?.()
    location.reload()
  })
}

function sameBytes(one: ArrayBuffer | null, other: Uint8Array): boolean {
  const bytes = new Uint8Array(one ?? [])
  return bytes.length === other.length && bytes.every((byte, at) => byte === other[at])
}
