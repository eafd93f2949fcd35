import type { WorkspaceState } from "@selvedge/client"
import type { App } from "./app.js"

/** Asks before the page is left while something of it would be lost. It listens only while that may be: some browsers put no page away that listens. */
export function askBeforeLosing(app: App): void {
  const { workspace } = app
  const ask = (event: BeforeUnloadEvent) => {
    app.flush()
    if (workspace.wouldLose()) event.preventDefault()
  }
  const look = (state: WorkspaceState) =>
    window[isAtRisk(state) ? "addEventListener" : "removeEventListener"]("beforeunload", ask as EventListener)
  workspace.state.watch(look)
  look(workspace.state.value)
}

/** Whether more than a moment may pass before what was written is somewhere. */
function isAtRisk({ isVolatile, pending, unsaved, trouble }: WorkspaceState): boolean {
  return isVolatile ? pending + unsaved > 0 : unsaved > 0 && trouble !== undefined
}
