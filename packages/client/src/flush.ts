import { ClientError } from "./error.js"
import { Keeper } from "./keeper.js"
import { relayOf } from "./relay.js"
import { openStore } from "./store.js"
import { channelName } from "./tabs/locks.js"
import type { ToAll } from "./tabs/message.js"
import type { WorkspaceOptions } from "./workspace.js"

/** Browsers end a worker that takes longer than half a minute. */
const LIMIT_MS = 25_000

/**
 * Has the relay and this device give each other what the other does not have; for service workers, while no tab leads. It fails as
 * `unavailable` where there was not enough time, or a tab came: then it goes on at the next one from where it was.
 */
export async function flushWorkspace(options: WorkspaceOptions, limitMs = LIMIT_MS): Promise<void> {
  if (!(await isBegun(options))) return
  const wanted = new AbortController()
  const endWatch = onTab(options.name, () => wanted.abort())
  try {
    const keeper = await Keeper.open(options, relayOf(options), () => undefined)
    try {
      if (!(await keeper.flushed(limitMs, wanted.signal)))
        throw new ClientError("unavailable", "the relay does not have everything yet")
    } finally {
      await keeper.end()
    }
  } finally {
    endWatch()
  }
}

/** Whether there is a device in the store. If not, the browser has thrown it away: a page remembers who it was, a worker must not begin another one. */
async function isBegun({ name, store: own }: WorkspaceOptions): Promise<boolean> {
  if (own) return true
  const store = await openStore(name)
  try {
    return (await store.meta("device")) !== undefined
  } finally {
    store.close()
  }
}

/** Calls `come` when a tab comes, which would wait for as long as this goes on; it sends what is left itself. */
function onTab(name: string, come: () => void): () => void {
  const channel = new BroadcastChannel(channelName(name))
  channel.onmessage = ({ data }: MessageEvent<ToAll | null>) => data?.type === "who" && come()
  return () => channel.close()
}
