// Browsers with the console open, as far as the control plane can tell: the reads of the topology page, with the rests that
// src/console/api/live.ts takes between them. Used by phases.mjs. The rests are copied from there; a change there is a change here.
import { keepAliveClient } from '../control/keep-alive-client.mjs'

/** Browsers give a server six connections. */
const CONNECTIONS = 6
const RESTS_PER_READ = 200
const MIN_REST_MS = 2_000
const MAX_REST_MS = 30_000
const TRAFFIC_MS = 5_000
const SERVER_MS = 10_000

const restAfter = tookMs => Math.min(MAX_REST_MS, Math.max(MIN_REST_MS, tookMs * RESTS_PER_READ))
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export class Browsers {
  constructor(base, count) {
    this.closed = false
    this.reads = 0
    this.bytes = 0
    this.clients = Array.from({ length: count }, () => keepAliveClient(base, CONNECTIONS))
    for (const client of this.clients) {
      this.loop(client, '/v1/outrigger/topology', restAfter)
      this.loop(client, '/v1/outrigger/traffic?window=60s', tookMs => Math.max(TRAFFIC_MS, restAfter(tookMs)))
      this.loop(client, '/v1/outrigger/console', () => SERVER_MS)
    }
  }

  /** The topology is watched there, and read again after a change and a rest; here it changes all the time. */
  async loop(client, path, rest) {
    await sleep(Math.random() * TRAFFIC_MS)
    while (!this.closed) {
      const began = performance.now()
      const answer = await client.ask('GET', path).catch(() => undefined)
      if (answer === undefined) return
      this.reads++
      this.bytes += answer.text.length
      await sleep(rest(performance.now() - began))
    }
  }

  close() {
    this.closed = true
    for (const client of this.clients) client.close()
  }
}
