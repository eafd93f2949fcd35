import { leaderLock, locksOrNone, tabLock } from "../tabs/locks.js"
import { filesOf } from "../worker/words.js"
import type { Inspection, Workspace, WorkspaceState } from "../workspace.js"

/** Everything that is shown, of one moment. */
export interface Facts {
  readonly now: number
  /** Of this tab. */
  readonly tab: string
  readonly inside: Inspection
  readonly state: WorkspaceState
  readonly tabs: readonly TabHere[]
  readonly disk: Disk | undefined
  readonly worker: WorkerHere | undefined
  /** What people call an entity. */
  readonly describe: (entity: string) => string | undefined
}

/** A tab of this browser that uses the workspace. */
export interface TabHere {
  readonly id: string
  readonly leads: boolean
}

/** What the browser says of the disk. */
export interface Disk {
  readonly used: number
  readonly quota: number
  readonly isPersistent: boolean
  /** Bytes by what has them, where the browser tells. */
  readonly parts: readonly (readonly [name: string, bytes: number])[]
}

/** The service worker of this page. */
export interface WorkerHere {
  readonly script: string
  readonly state: string
  readonly isUpdateReady: boolean
  /** Versions whose files are here. */
  readonly versions: readonly string[]
}

/** Asks everybody who knows something. */
export async function gather(workspace: Workspace, id: string, describe: Facts["describe"]): Promise<Facts> {
  const { tab } = workspace
  const [inside, tabs, disk, worker] = await Promise.all([workspace.inspect(id), tabsHere(tab.name), diskHere(), workerHere()])
  return { now: Date.now(), tab: tab.id, inside, state: workspace.state.value, tabs, disk, worker, describe }
}

/** Each tab has a lock for as long as it lives, and one of them that of who leads. */
async function tabsHere(name: string): Promise<TabHere[]> {
  const held = (await locksOrNone()?.query())?.held ?? []
  const leader = held.find(lock => lock.name === leaderLock(name))?.clientId
  const prefix = tabLock(name, "")
  const tabs = held.filter(lock => lock.name?.startsWith(prefix))
  return tabs.map(lock => ({ id: lock.name!.slice(prefix.length), leads: lock.clientId === leader }))
}

/** Not among the types that come with the compiler. */
interface Estimate extends StorageEstimate {
  readonly usageDetails?: Readonly<Record<string, number>>
}

async function diskHere(): Promise<Disk | undefined> {
  const storage = navigator.storage as StorageManager | undefined
  if (!storage) return undefined
  const { usage = 0, quota = 0, usageDetails = {} }: Estimate = await storage.estimate()
  return { used: usage, quota, isPersistent: await storage.persisted(), parts: Object.entries(usageDetails) }
}

async function workerHere(): Promise<WorkerHere | undefined> {
  const registration = await (navigator.serviceWorker as ServiceWorkerContainer | undefined)?.getRegistration()
  const worker = registration?.active ?? registration?.waiting ?? registration?.installing
  if (!registration || !worker) return undefined
  const prefix = filesOf(registration.scope)
  const versions = (await caches.keys()).filter(name => name.startsWith(prefix)).map(name => name.slice(prefix.length))
  const { scriptURL: script, state } = worker
  return { script, state, isUpdateReady: registration.waiting !== null, versions }
}
