// Requests per second through an HTTP/1.1 client codec and server codec joined in memory: a browser-like request with ten fields,
// a JSON response with eight, names and values as a proxy sees them (some vary per request). Asserts the answers before timing.

import assert from 'node:assert/strict'
import { bench, describe } from 'vitest'
import { echoPair } from '../../test/support/http1-bench-pair.js'

const pair = echoPair()
for (let i = 0; i < 64; i++) pair.exchange(i)
assert.equal(pair.answered, 64)
assert.equal(pair.bytes, 64 * pair.bodyBytes)
assert.equal(pair.lastPath, '/api/items/63?page=63')

describe('http1 codec', () => {
  let i = 64
  bench('request and response, small body', () => {
    for (let k = 0; k < 100; k++) pair.exchange(i++)
  })
})
