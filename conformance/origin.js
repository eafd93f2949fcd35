// An upstream for the suites: reads the whole request, then answers with some text.
// Usage: origin.js PORT
'use strict'
const body = 'hello '.repeat(100)

require('node:http').createServer((request, response) => {
  request.resume()
  request.on('end', () => response.end(body))
  request.on('error', () => response.destroy())
}).listen(Number(process.argv[2]), '127.0.0.1')
