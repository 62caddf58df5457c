// The dataplane's own pages over real sockets: what no client may do to the process that the proxy is in.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { MergedMetrics } from '../../../src/dataplane/metrics/merged-metrics.js'
import { AdminClient } from '../../../src/dataplane/proxy/admin-client.js'
import { Lifecycle } from '../../../src/dataplane/proxy/lifecycle.js'
import { freePort } from '../../support/proxy-process.js'

const HOST = '127.0.0.1'
const admin = new AdminClient(HOST, 1)
const log = () => {}
let server: { close(): void } | null = null
afterEach(() => server?.close())

async function statusOf(port: number, target: string): Promise<string> {
  const socket = connect(port, HOST)
  socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return bytes.toString('latin1').split(' ')[1]!
}

const PAGES: Record<string, (port: number) => Promise<{ close(): void }>> = {
  'the pages of beginning and end': async port => {
    const settings = {
      host: HOST,
      port,
      shutdownPath: '/graceful_shutdown',
      startupPath: '/graceful_startup',
      shutdownGraceMs: 0,
      startupGraceMs: 0,
      drainListeners: false,
      dumpConfig: false,
    }
    const lifecycle = new Lifecycle({ settings, admin, end: log, print: log, log })
    await lifecycle.listen()
    return lifecycle
  },
  'the merged metrics': async port => {
    const metrics = new MergedMetrics({
      telemetry: { serviceMetricsUrl: '', mergePort: port },
      host: HOST,
      own: async () => '',
      admin,
      log,
    })
    await metrics.listen()
    return metrics
  },
}

it.each(Object.keys(PAGES))('%s: a request for what is no URL is not found, and the next is answered', async name => {
  const port = await freePort()
  server = await PAGES[name]!(port)
  for (const target of ['//', 'http://', '//[', '/other']) expect([target, await statusOf(port, target)]).toEqual([target, '404'])
})
