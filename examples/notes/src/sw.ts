import { flushWorkspace, pusherOf } from "@selvedge/client/flush"
import { serve } from "@selvedge/client/worker"
import manifest from "./manifest.js"
import { WORKSPACE } from "./workspace.js"

// What waits is sent when there is a network again, though nobody has the app open: where the browser can do that.
serve({
  manifest,
  store: WORKSPACE.name,
  flush: () => flushWorkspace(WORKSPACE),
  // Where the person wants to be told. One notice is enough, however much changes.
  wake: async () => ({ title: "Notes", body: "Something changed in your notes.", tag: "changed", icon: "icon-192.png" }),
  pusher: pusherOf(WORKSPACE),
})
