import { ClientError } from "./error.js"
import { Keeper } from "./keeper.js"
import { WAKE_UP_KEY } from "./keeper/record.js"
import { pushKeyOf, readSubscription } from "./push.js"
import { relayOf } from "./relay.js"
import { openStore } from "./store.js"
import { Tabs } from "./tabs.js"
import { channelName } from "./tabs/locks.js"
import type { ToAll } from "./tabs/message.js"
import { fromBase64 } from "./values.js"
import type { Pusher } from "./worker/pusher.js"
import type { Asked, Question } from "./words.js"
import type { WorkspaceOptions } from "./workspace.js"

export type { Pusher } from "./worker/pusher.js"

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

/** The relay of a workspace, as it has to be told where this browser is reached when the browser has replaced its subscription. */
export function pusherOf(options: WorkspaceOptions): Pusher {
  return {
    isWanted: async () => (await kept(options, WAKE_UP_KEY)) !== undefined,
    key: async () => {
      const relay = relayOf(options)
      if (!relay) throw new ClientError("unsupported", "there is no relay")
      return fromBase64(await pushKeyOf(relay))
    },
    reached: subscription => askLeader(options, { type: "wake", by: subscription && readSubscription(subscription) }),
  }
}

/** Whether there is a device in the store. If not, the browser has thrown it away: a page remembers who it was, a worker must not begin another one. */
async function isBegun(options: WorkspaceOptions): Promise<boolean> {
  return options.store !== undefined || (await kept(options, "device")) !== undefined
}

/** A value that is stored beside the documents. */
async function kept({ name, store: own }: WorkspaceOptions, key: string): Promise<unknown> {
  const store = own ?? (await openStore(name))
  try {
    return await store.meta(key)
  } finally {
    if (!own) store.close()
  }
}

/** Asks who leads, and leads for so long if nobody does. */
async function askLeader(options: WorkspaceOptions, question: Question): Promise<void> {
  const late = AbortSignal.timeout(LIMIT_MS)
  const isLate = new Promise<never>((_resolve, reject) => {
    late.addEventListener("abort", () => reject(new ClientError("unavailable", "no tab leads, and the worker cannot")))
  })
  const tabs = await Tabs.join(options.name, { lead: () => Keeper.open(options, relayOf(options), () => undefined) })
  try {
    await Promise.race([tabs.ask({ tab: tabs.id, question } satisfies Asked), isLate])
  } finally {
    await tabs.close()
  }
}

/** Calls `come` when a tab comes, which would wait for as long as this goes on; it sends what is left itself. */
function onTab(name: string, come: () => void): () => void {
  const channel = new BroadcastChannel(channelName(name))
  channel.onmessage = ({ data }: MessageEvent<ToAll | null>) => data?.type === "who" && come()
  return () => channel.close()
}
