// An application asked by its probes: ready when each has said so, no longer when one has failed as often as it may.
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { AppProbe } from '../../../src/kubernetes/inject/app-probes.js'
import { AppReadiness } from '../../../src/kubernetes/readiness/app-readiness.js'
import { askProbe } from '../../../src/kubernetes/readiness/ask-probe.js'
import { freePort, until } from '../../support/proxy-process.js'

const HOST = '127.0.0.1'
const limits = { container: 'web', periodS: 0.02, timeoutS: 1, failures: 1, successes: 1 }
const portOf = (server: Server | TcpServer): number => (server.address() as AddressInfo).port
let status: number
let asked: { readonly url: string; readonly header: string }[]
let app: Server
let running: AppReadiness | undefined

beforeEach(async () => {
  status = 503
  asked = []
  app = createServer(({ url = '', headers }, response) => {
    asked.push({ url, header: String(headers['x-probe']) })
    if (status !== 0) response.writeHead(status).end('no body is read'.repeat(1_000))
  })
  await new Promise<void>(resolve => app.listen(0, HOST, resolve))
})

afterEach(async () => {
  running?.stop()
  running = undefined
  app.closeAllConnections()
  await new Promise(resolve => app.close(resolve))
})

const http = (over: Partial<AppProbe> = {}): AppProbe => ({
  ...limits,
  port: portOf(app),
  http: { path: '/healthz?full=1', tls: false, headers: [['x-probe', 'yes']] },
  ...over,
})

it('an HTTP probe passes on 200 to 399, at its path and with its headers', async () => {
  for (const [given, why] of [
    [200, ''],
    [302, ''],
    [404, `web: port ${portOf(app)}/healthz?full=1: the answer is 404`],
    [100 + 499, `web: port ${portOf(app)}/healthz?full=1: the answer is 599`],
  ] as const) {
    status = given
    expect(await askProbe(http(), HOST)).toBe(why)
  }
  expect(asked).toEqual(Array(4).fill({ url: '/healthz?full=1', header: 'yes' }))
})

it('who does not answer in time is not ready', async () => {
  status = 0
  expect(await askProbe(http({ timeoutS: 0.02 }), HOST)).toContain('no answer within 0.02 s')
})

it('a port that takes connections is enough where the probe asks for no more', async () => {
  const open = createTcpServer(socket => socket.on('error', () => {}))
  await new Promise<void>(resolve => open.listen(0, HOST, resolve))
  expect(await askProbe(http({ port: portOf(open), http: null }), HOST)).toBe('')
  await new Promise(resolve => open.close(resolve))
  expect(await askProbe(http({ port: await freePort(), http: null }), HOST)).toContain('ECONNREFUSED')
})

it('says once that it is not ready, once that it is, and again when it is no longer', async () => {
  const said: string[] = []
  running = new AppReadiness({ probes: [http()], host: HOST, onChange: (ready, why) => said.push(ready ? 'ready' : why) })
  await until('the first no', () => said.length === 1)
  const before = asked.length
  await until('more questions', () => asked.length > before + 2)
  status = 200
  await until('the yes', () => said.length === 2)
  status = 500
  await until('the second no', () => said.length === 3)
  expect(said).toEqual([expect.stringContaining('503'), 'ready', expect.stringContaining('500')])
})

it('one failure among successes changes nothing where two in a row are asked for', async () => {
  status = 200
  const said: boolean[] = []
  running = new AppReadiness({ probes: [http({ failures: 2, successes: 2 })], host: HOST, onChange: ready => said.push(ready) })
  await until('two successes', () => said.at(-1) === true)
  expect(asked.length).toBeGreaterThanOrEqual(2)
  app.once('request', () => (status = 200))
  status = 500
  await until('questions after it', () => asked.length >= 6)
  expect(said).toEqual([false, true])
})

it('all containers must be ready', async () => {
  status = 200
  const none = { ...limits, container: 'log', port: await freePort(), http: null }
  running = new AppReadiness({ probes: [http(), none], host: HOST, onChange: () => {} })
  await until('both were asked', () => asked.length > 1 && running?.why.startsWith('log: port'))
  expect(running.ready).toBe(false)
})
