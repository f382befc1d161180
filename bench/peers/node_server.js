// SPDX-License-Identifier: MIT
// The benchmark's resource on node-coap.  usage: node node_server.js PORT [DELAY]
//
// With a delay of some seconds the answer is a separate response.
'use strict'

const coap = require('coap')

const [port, delay] = process.argv.slice(2).map(Number)

const server = coap.createServer({ type: 'udp4' }, (request, response) => {
  if (delay) setTimeout(() => response.end('hello, 123'), 1000 * delay)
  else response.end('hello, 123')
})
server.listen(port, '127.0.0.1')

process.on('SIGTERM', () => {
  const { version } = require('coap/package.json')
  const note = { versions: { node: process.versions.node, coap: version } }
  process.stdout.write(JSON.stringify(note) + '\n', () => process.exit(0))
})
