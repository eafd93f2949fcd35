// The browser that tests are in. Who tests brings the program that drives it, from the packages of its own.
import { existsSync } from "node:fs"
import { after } from "node:test"
import { WAIT_MS } from "./waits.js"

export const executablePath = process.env.SELVEDGE_CHROMIUM ?? "/usr/bin/chromium"
/** Why nothing is tested in it. */
export const noBrowser = existsSync(executablePath) ? false : `there is no ${executablePath}`

/** What gives all tests of a file the same browser, and another if that died. */
export function browserBy(chromium) {
  let launched
  const forget = () => (launched = undefined)
  const launch = async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"]
    const made = await chromium.launch({ executablePath, args, timeout: WAIT_MS })
    return made.once("disconnected", forget)
  }
  after(async () => (await launched)?.close())
  return () => {
    launched ??= launch().catch(error => {
      forget()
      throw error
    })
    return launched
  }
}
