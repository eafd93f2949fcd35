// The suite's cases, asked with a token: it knows of none itself.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

const { CONFORMANCE_URL, CONFORMANCE_TOKEN } = process.env
const plain = globalThis.fetch
globalThis.fetch = (resource, options = {}) => {
  const headers = new Headers(options.headers ?? (resource instanceof Request ? resource.headers : undefined))
  headers.set("authorization", `Bearer ${CONFORMANCE_TOKEN}`)
  return plain(resource, { ...options, headers })
}

runConformanceTests({ baseUrl: CONFORMANCE_URL })
