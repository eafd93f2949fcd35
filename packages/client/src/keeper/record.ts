// What is stored beside the replicas, and under which keys.

/** What is kept of a document beside its replica and its keys. */
export interface Known {
  readonly title: string
  readonly isEncrypted: boolean
  readonly origin: "founded" | "joined" | "given"
  readonly token?: string | undefined
  readonly ends?: number | undefined
}

export const recordKey = (id: string) => `document:${id}`
export const keysKey = (id: string) => `keys:${id}`
/** The number of a tab's last post that is stored. */
export const storedKey = (tab: string) => `stored:${tab}`
/** How the relay wakes this device. */
export const WAKE_UP_KEY = "wake-up"
