/** Who pushes messages to this browser, for a worker whose browser replaces its subscription. */
export interface Pusher {
  /** Whether this browser is to be reached at all. */
  isWanted(): Promise<boolean>
  /** The key to subscribe with (VAPID, 65 bytes), where the browser does not say with which one it was. */
  key(): Promise<Uint8Array<ArrayBuffer>>
  /** Says where this browser is reached from now on; undefined: nowhere, as the person does not allow it any more. */
  reached(subscription: PushSubscriptionJSON | undefined): Promise<void>
}
