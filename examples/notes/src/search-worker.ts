import type { Answer, Told } from "./model/search.js"
import { SearchIndex } from "./notes/search.js"

declare const self: DedicatedWorkerGlobalScope

const index = new SearchIndex()

self.addEventListener("message", ({ data }: MessageEvent<Told>) => {
  if ("put" in data) index.put(data.put)
  else if ("remove" in data) index.remove(data.remove)
  else self.postMessage({ number: data.number, hits: index.search(data.search) } satisfies Answer)
})
