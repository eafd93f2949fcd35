import type { WorkspaceState } from "@selvedge/client"

/** How a workspace stands, in words: never better than it is. */
export interface Standing {
  readonly kind: "good" | "busy" | "waiting" | "bad"
  readonly label: string
  /** What that means for what was written. */
  readonly detail: string
}

export function standingOf(state: WorkspaceState): Standing {
  const { connection, pending, unsaved, trouble, isVolatile, behind } = state
  if (trouble?.kind === "full")
    return { kind: "bad", label: "Disk full", detail: "What you write is in this tab only. Free space, or export your notes." }
  if (trouble?.kind === "outdated")
    return { kind: "bad", label: "Reload needed", detail: "A newer version of this app is open in another tab." }
  if (unsaved > 0 && trouble)
    return { kind: "bad", label: "Not saved", detail: `${changes(unsaved)} could not be saved: ${trouble.message}.` }
  if (isVolatile)
    return {
      kind: "bad",
      label: "Not kept",
      detail: "This browser keeps nothing for this page, as in private windows: notes end with the tab.",
    }
  if (unsaved > 0) return { kind: "busy", label: "Saving…", detail: `${changes(unsaved)} are on their way to the disk.` }
  if (connection === "denied")
    return { kind: "bad", label: "Not let in", detail: `The relay lets this device not in.${here(pending)}` }
  if (connection === "offline") {
    const label = pending > 0 ? `Offline · ${pending} waiting` : "Offline"
    return { kind: "waiting", label, detail: `Everything is saved on this device.${here(pending)}` }
  }
  if (connection === "connecting")
    return {
      kind: "busy",
      label: pending > 0 ? `Connecting · ${pending} waiting` : "Connecting…",
      detail: `Everything is saved on this device.${here(pending)}`,
    }
  if (connection === "behind")
    return { kind: "busy", label: behind > 0 ? `Receiving ${behind}…` : "Receiving…", detail: "What others wrote is on its way." }
  if (connection === "none")
    return { kind: "good", label: "On this device", detail: "Everything is saved on this device, and nowhere else." }
  if (pending > 0)
    return { kind: "busy", label: `Syncing ${pending}…`, detail: `${changes(pending)} are on their way to the relay.` }
  return { kind: "good", label: "Synced", detail: "Everything is saved on this device and at the relay." }
}

const changes = (count: number) => `${count} ${count === 1 ? "change" : "changes"}`
const here = (pending: number) => (pending > 0 ? ` ${changes(pending)} will be sent when there is a connection.` : "")
