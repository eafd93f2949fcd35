import { Cell, type Watched } from "./cell.js"
import type { Installation, InstallationStatus } from "./installation.js"
import type { Tabs, TabsStatus } from "./tabs.js"

/** How an application stands, for a line at its edge. */
export interface State extends TabsStatus, InstallationStatus {
  /** Whether the browser has a network; that says nothing of who is behind it. */
  readonly isOnline: boolean
}

/** Puts together how a page stands, for as long as it lives. */
export function watchState(tabs: Tabs, installation?: Installation): Watched<State> {
  const isUpdateReady = installation?.status.value.isUpdateReady ?? false
  const state = new Cell<State>({ ...tabs.status.value, isUpdateReady, isOnline: navigator.onLine })
  tabs.status.watch(status => state.set(status))
  installation?.status.watch(status => state.set(status))
  for (const type of ["online", "offline"]) window.addEventListener(type, () => state.set({ isOnline: navigator.onLine }))
  return state
}
