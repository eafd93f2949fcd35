// Reads lines `request HEX` or `response HEX`; prints, as one line of JSON each, the messages that
// llhttp sees in those bytes, in its strict mode.
'use strict'
// The parser has no public door of its own.
process.removeAllListeners('warning')
process.on('warning', () => {})
const { HTTPParser } = process.binding('http_parser')

function frame (kind, bytes) {
  const messages = []
  let current = null
  let upgraded = false
  const parser = new HTTPParser()
  parser.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20)
  let pending = []
  let url = ''
  parser[HTTPParser.kOnMessageBegin | 0] = () => { pending = []; url = '' }
  parser[HTTPParser.kOnHeaders | 0] = (headers, path) => {
    pending.push(...headers)
    url += path
  }
  parser[HTTPParser.kOnHeadersComplete | 0] = (
    major, minor, headers, method, path, status, reason, upgrade, keepAlive) => {
    const flat = pending.length ? pending : headers || []
    const fields = []
    for (let i = 0; i < flat.length; i += 2) {
      fields.push([flat[i].toLowerCase(), Buffer.from(flat[i + 1], 'latin1').toString('hex')])
    }
    pending = []
    const start = kind === 'request' ? [name(method), path || url] : [String(status), '']
    current = { start, fields, body: [], complete: false }
    messages.push(current)
    upgraded = upgrade
    return 0
  }
  parser[HTTPParser.kOnBody | 0] = (chunk) => { current.body.push(Buffer.from(chunk)) }
  parser[HTTPParser.kOnMessageComplete | 0] = () => { if (current) current.complete = true }
  let code = ''
  const result = parser.execute(bytes, 0, bytes.length)
  if (result instanceof Error) {
    code = result.code
  } else if (!upgraded) {
    const end = parser.finish()
    if (end instanceof Error) code = end.code
  }
  for (const message of messages) message.body = Buffer.concat(message.body).toString('hex')
  return { messages, code }
}

// The table of method numbers is the one of `http.METHODS`' origin, by value.
const { methods, allMethods } = process.binding('http_parser')
function name (method) {
  return typeof method === 'number' ? (allMethods || methods)[method] : method
}

const lines = require('node:readline').createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const [kind, hex] = line.split(' ')
  console.log(JSON.stringify(frame(kind, Buffer.from(hex || '', 'hex'))))
})
