import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { sendRequests, Tally, Traffic } from '../../../src/cli/demo/driver.js'
import { splitter } from '../../../src/cli/demo/mesh.js'
import { plainSerial } from '../../../src/cli/demo/mtls-probe.js'
import { MAX_PORT_BASE, namedPorts, PORT_SPAN, portsInUse, portTable } from '../../../src/cli/demo/port-table.js'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'

describe('the port table', () => {
  it('has the well-known ports, or a span of its own that starts at the base', () => {
    expect(portTable()).toMatchObject({
      http: 8500,
      xds: 8502,
      instances: {
        web: { application: 9001, public: 21_000, upstream: 9191, admin: 19_000 },
        batch: { application: 9004, public: 21_003, upstream: 9192, admin: 19_003 },
      },
    })
    const ports = namedPorts(portTable(MAX_PORT_BASE)).map(({ port }) => port)
    expect(new Set(ports).size).toBe(namedPorts(portTable()).length)
    expect(ports.every(port => port >= MAX_PORT_BASE && port < MAX_PORT_BASE + PORT_SPAN && port <= 65_535)).toBe(true)
  })

  it('names a port that somebody listens on', async () => {
    const server = createTcpServer().listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const table = { ...portTable(20_000), http: port }
    const busy = await portsInUse(table)
    server.close()
    expect(busy.filter(named => named.port === port)).toEqual([{ port, owner: "the control plane's HTTP API", reason: 'is in use' }])
  })
})

describe('the canary steps', () => {
  it.each([90, 50, 0])('%i % to v1 is an entry that the control plane takes', weight => {
    expect(parseConfigEntry(splitter(weight, 'step'))).toMatchObject({
      entry: { Kind: 'service-splitter', Splits: [{ Weight: weight }, { Weight: 100 - weight }] },
    })
  })
})

describe('the driver', () => {
  async function origin(answer: (n: number) => { status: number; step: string; version: string }) {
    let count = 0
    const server = createServer((_request, response) => {
      const { status, step, version } = answer(++count)
      response.statusCode = status
      response.end(JSON.stringify({ upstream: { status, headers: { 'x-canary-step': step }, body: { version } } }))
    }).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    return { server, port: (server.address() as AddressInfo).port }
  }

  it('tallies versions and failures', async () => {
    const { server, port } = await origin(n => ({ status: n % 10 === 0 ? 503 : 200, step: 'a', version: n % 2 === 0 ? 'v2' : 'v1' }))
    const tally = await sendRequests(port, 100, 4, () => {})
    server.close()
    expect([tally.requests, tally.failed, tally.failures.length]).toEqual([100, 10, 3])
    expect(tally.versions).toEqual(
      new Map([
        ['v1', 50],
        ['v2', 40],
      ]),
    )
    expect(tally.share('v1')).toBeCloseTo(55.6, 1)
  })

  it('counts no answer as a failure', async () => {
    const { server, port } = await origin(() => ({ status: 200, step: '', version: '' }))
    await new Promise(resolve => server.close(resolve))
    const tally = await sendRequests(port, 3, 1, () => {})
    expect([tally.failed, tally.failures[0]]).toEqual([3, expect.stringContaining('no answer: ')])
  })

  it('counts a request in the tally that was current when it started, and sees the first answer of a step', async () => {
    let step = 'a'
    const { server, port } = await origin(() => ({ status: 200, step, version: step }))
    const traffic = new Traffic(port, 4)
    const before = traffic.newTally()
    traffic.start()
    await before.reached(50)
    const first = traffic.firstOf('b')
    step = 'b'
    const changed = performance.now()
    expect(await first).toBeGreaterThan(changed)
    const after = traffic.newTally()
    await after.reached(50)
    await traffic.stop()
    server.close()
    expect([...after.versions.keys()]).toEqual(['b'])
    expect([...before.versions.keys()]).toContain('a')
    expect(traffic.total.requests).toBe(before.requests + after.requests)
  })

  it('has no share without answers', () => {
    expect(new Tally().share('v1')).toBe(0)
  })
})

it('compares serial numbers whatever their spelling', () => {
  expect(plainSerial('00:0a:bc')).toBe('ABC')
})
