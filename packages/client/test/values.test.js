import assert from "node:assert/strict"
import { test } from "node:test"
import * as documents from "../../crdt/dist/values.js"
import * as client from "../dist/values.js"

/** What engines write. The two packages read it each for itself: neither can be loaded with the other's engine. */
const WRITTEN = [
  ' {"a":1,"b":[true,null,"x"],"c":-0.5}',
  '\n{"a":"\\u0000i9223372036854775807","b":"\\u0000i-9007199254740993"}',
  '\n["\\u0000fNaN","\\u0000finf","\\u0000f-inf"]',
  '\n["\\u0000b","\\u0000b00ff10","\\u0000s\\u0000i5","\\u0000s"]',
  '\n{"__proto__":"\\u0000b01","plain":"x"}',
]

test("both packages read alike what an engine writes", () => {
  for (const json of WRITTEN) assert.deepEqual(client.parse(json), documents.parse(json), json)
  const [{ payload }] = client.parse('\n["\\u0000uc0ff"]')
  assert.deepEqual(payload, documents.parse('\n["\\u0000uc0ff"]')[0].payload)
  const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
  assert.equal(client.toHex(bytes), documents.toHex(bytes))
  assert.deepEqual(client.fromHex(client.toHex(bytes)), documents.fromHex(documents.toHex(bytes)))
})
