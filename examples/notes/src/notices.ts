import { ClientError, letSleep, wakeOnChange } from "@selvedge/client"
import type { App } from "./app.js"

/** Has the person told of changes while the app is closed, or not any more. The browser asks the person once, after a click. */
export async function tellOfChanges({ installation, workspace }: App, isTold: boolean): Promise<void> {
  if (!installation) throw new ClientError("unsupported", "the app is not installed in this browser")
  await (isTold ? wakeOnChange(workspace, installation) : letSleep(workspace, installation))
}
