import { createSocket } from 'node:dgram'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, createSecureServer } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseCheckDefinition } from '../../../src/control/catalog/check-definition.js'
import { HealthChecks, MAX_CONCURRENT_CHECKS } from '../../../src/control/catalog/health-checks.js'
import { readRegisteredCheck } from '../../../src/control/catalog/node-registration.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { FieldReader } from '../../../src/control/config-entries/field-reader.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { OWN } from '../../support/own-node.js'
import { RefusingStore } from '../../support/refusing-store.js'

const HEALTH = {
  Check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: Buffer) => message,
    requestDeserialize: (message: Buffer) => message,
    responseSerialize: (message: Buffer) => message,
    responseDeserialize: (message: Buffer) => message,
  },
} as const

let catalog: Catalog
let checks: HealthChecks
let server: Server
let port: number
let status: number
let hold: boolean
let open: number
let mostOpen: number
let held: ServerResponse[]
beforeEach(async () => {
  catalog = await Catalog.open(new MemoryStore(), { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  checks = new HealthChecks(catalog, { random: () => 0 })
  status = 200
  hold = false
  open = 0
  mostOpen = 0
  held = []
  server = createServer((request, response) => {
    if (request.url === '/moved') {
      response.writeHead(302, { location: '/' }).end()
      return
    }
    mostOpen = Math.max(mostOpen, ++open)
    response.on('close', () => open--)
    if (hold) held.push(response)
    else response.writeHead(status).end(`x-probe ${request.headers['x-probe']}`)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  port = (server.address() as AddressInfo).port
})
afterEach(() => {
  checks.stop()
  server.closeAllConnections()
  server.close()
})

async function register(id: string, check: object): Promise<void> {
  const parsed = parseServiceDefinition({ Name: id, Port: 1, Check: { CheckID: id, ...check } }, { strict: true })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  await catalog.register(parsed.value)
}

function until(check: () => boolean): Promise<void> {
  if (check()) return Promise.resolve()
  return new Promise(resolve =>
    catalog.onChange(() => {
      if (check()) resolve()
    }),
  )
}

const statusOf = (id: string) => catalog.check(id)?.status

describe('HealthChecks', () => {
  it('follows an HTTP endpoint: 2xx passes, 429 warns, the rest is critical', async () => {
    await register('web', { HTTP: `http://127.0.0.1:${port}/`, Interval: '5ms', Header: { 'x-probe': ['yes'] } })
    checks.start()
    await until(() => statusOf('web') === 'passing')
    expect(catalog.check('web')!.output).toContain('200 OK Output: x-probe yes')
    status = 429
    await until(() => statusOf('web') === 'warning')
    status = 500
    await until(() => statusOf('web') === 'critical')
  })

  it('follows redirects unless told not to', async () => {
    await register('yes', { HTTP: `http://127.0.0.1:${port}/moved`, Interval: '5ms' })
    await register('no', { HTTP: `http://127.0.0.1:${port}/moved`, Interval: '5ms', DisableRedirects: true, Status: 'passing' })
    checks.start()
    await until(() => statusOf('yes') === 'passing' && statusOf('no') === 'critical')
    expect(catalog.check('no')!.output).toContain('302')
  })

  it('calls an endpoint that never answers critical, by its timeout', async () => {
    hold = true
    await register('slow', { HTTP: `http://127.0.0.1:${port}/`, Interval: '5ms', Timeout: '20ms', Status: 'passing' })
    checks.start()
    await until(() => statusOf('slow') === 'critical')
    expect(catalog.check('slow')!.output).toBe('no answer within 20 ms')
  })

  it('follows a TCP port', async () => {
    const listener = createTcpServer().listen(0, '127.0.0.1')
    await new Promise(resolve => listener.once('listening', resolve))
    const tcp = `127.0.0.1:${(listener.address() as AddressInfo).port}`
    await register('store', { TCP: tcp, Interval: '5ms' })
    checks.start()
    await until(() => statusOf('store') === 'passing')
    await new Promise(resolve => listener.close(resolve))
    await until(() => statusOf('store') === 'critical')
  })

  it('lets a TTL expire, and an update bring it back', async () => {
    await register('job', { TTL: '20ms', Status: 'passing' })
    checks.start()
    await until(() => statusOf('job') === 'critical')
    expect(catalog.check('job')!.output).toBe('TTL expired')
    expect(await checks.updateTtl('job', 'warning', 'slow')).toBe(true)
    expect(catalog.check('job')).toMatchObject({ status: 'warning', output: 'slow' })
    expect(await checks.updateTtl('nobody', 'passing', '')).toBe(false)
  })

  it('takes another service’s health over by an alias', async () => {
    await register('base', { TTL: '1h', Status: 'passing' })
    await register('alias', { AliasService: 'base' })
    checks.start()
    await until(() => statusOf('alias') === 'passing')
    await catalog.setCheckStatus('base', 'warning', 'hot')
    await until(() => statusOf('alias') === 'warning')
    expect(catalog.check('alias')!.output).toBe('hot')
    await catalog.deregister('base')
    await until(() => statusOf('alias') === 'critical')
  })

  it('changes at the third failure and at the second success in a row where so many are asked for', async () => {
    let runs = 0
    const seen: [run: number, status: string | undefined][] = []
    catalog.onChange(() => seen.push([runs, statusOf('web')]))
    server.on('request', () => runs++)
    status = 500
    const thresholds = { FailuresBeforeWarning: 2, FailuresBeforeCritical: 3, SuccessBeforePassing: 2 }
    await register('web', { HTTP: `http://127.0.0.1:${port}/`, Interval: '20ms', ...thresholds, Status: 'passing' })
    checks.start()
    await until(() => statusOf('web') === 'critical')
    expect(seen.slice(1)).toEqual([
      [2, 'warning'],
      [3, 'critical'],
    ])
    status = 200
    const before = runs
    await until(() => statusOf('web') === 'passing')
    expect(runs - before).toBeGreaterThanOrEqual(2)
  })

  it('keeps the last output when a TTL expires', async () => {
    await register('job', { TTL: '50ms' })
    checks.start()
    await checks.updateTtl('job', 'passing', 'did 7 things')
    await until(() => statusOf('job') === 'critical')
    expect(catalog.check('job')!.output).toBe('TTL expired (last output before timeout follows): did 7 things')
  })

  it('sends the Host that a check names, and takes a timeout of 0 for the default', async () => {
    const hosts: (string | undefined)[] = []
    server.on('request', request => hosts.push(request.headers.host))
    await register('web', {
      HTTP: `http://127.0.0.1:${port}/`,
      Interval: '5ms',
      Timeout: '0s',
      Header: { Host: ['h'], 'x-two': ['1', '2'] },
    })
    checks.start()
    await until(() => statusOf('web') === 'passing')
    expect(hosts[0]).toBe('h')
    expect(catalog.check('web')!.definition.timeoutMs).toBe(10_000)
  })

  it('asks gRPC’s health service, for one service by name', async () => {
    const grpc = new GrpcServer()
    grpc.addService(HEALTH, {
      Check: ({ request }: { request: Buffer }, answer: (error: null, response: Buffer) => void) =>
        answer(null, Buffer.from([0x08, request.length === 0 ? 1 : 2])),
    })
    const grpcPort = await new Promise<number>((resolve, reject) =>
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    )
    try {
      await register('up', { GRPC: `127.0.0.1:${grpcPort}`, Interval: '5ms' })
      await register('down', { GRPC: `127.0.0.1:${grpcPort}/shop.Cart`, Interval: '5ms', Status: 'passing' })
      checks.start()
      await until(() => statusOf('up') === 'passing' && statusOf('down') === 'critical')
      expect(catalog.check('up')!.output).toBe(`gRPC check 127.0.0.1:${grpcPort}: success`)
      expect(catalog.check('down')!.output).toContain('NOT_SERVING')
    } finally {
      grpc.forceShutdown()
    }
  })

  it('speaks TLS to a service that is named by its address', async () => {
    const { cert, key } = new AnyCa().leaf({ ips: [[127, 0, 0, 1]] })
    const tls = createSecureServer({ cert, key, allowHTTP1: true }, (_, response) => void response.end()).listen(0, '127.0.0.1')
    await new Promise(resolve => tls.once('listening', resolve))
    const address = `127.0.0.1:${(tls.address() as AddressInfo).port}`
    const often = { Interval: '5ms', TLSSkipVerify: true }
    try {
      await register('tcp', { TCP: address, TCPUseTLS: true, ...often })
      await register('http', { HTTP: `https://${address}/`, TLSServerName: '127.0.0.1', ...often })
      await register('h2', { H2PING: address, TLSServerName: '127.0.0.1', ...often })
      checks.start()
      await until(() => ['tcp', 'http', 'h2'].every(id => statusOf(id) === 'passing'))
    } finally {
      checks.stop()
      tls.close()
    }
  })

  it('pings HTTP/2, and takes a UDP port for there unless the machine says no', async () => {
    const http2 = createHttp2Server().listen(0, '127.0.0.1')
    await new Promise(resolve => http2.once('listening', resolve))
    const udp = createSocket('udp4')
    await new Promise<void>(resolve => udp.bind(0, '127.0.0.1', resolve))
    const gone = createSocket('udp4')
    await new Promise<void>(resolve => gone.bind(0, '127.0.0.1', resolve))
    const goneAt = gone.address().port
    await new Promise<void>(resolve => gone.close(() => resolve()))
    try {
      await register('h2', { H2PING: `127.0.0.1:${(http2.address() as AddressInfo).port}`, H2PingUseTLS: false, Interval: '5ms' })
      await register('h1', { H2PING: `127.0.0.1:${port}`, H2PingUseTLS: false, Interval: '5ms', Timeout: '500ms', Status: 'passing' })
      await register('udp', { UDP: `127.0.0.1:${udp.address().port}`, Interval: '5ms', Timeout: '50ms' })
      await register('nobody', { UDP: `127.0.0.1:${goneAt}`, Interval: '5ms', Status: 'passing' })
      checks.start()
      await until(() => statusOf('h2') === 'passing' && statusOf('h1') === 'critical')
      await until(() => statusOf('udp') === 'passing' && statusOf('nobody') === 'critical')
    } finally {
      http2.close()
      udp.close()
    }
  })

  it('runs scripts of local files: 0 passes, 1 warns, the rest is critical, and the time is kept', async () => {
    const script = async (id: string, code: string, timeout = '10s'): Promise<void> => {
      const check = {
        CheckID: id,
        Args: ['/bin/sh', '-c', code],
        Interval: '10ms',
        Timeout: timeout,
        ...(id === 'slow' && { Status: 'passing' }),
      }
      const parsed = parseServiceDefinition({ Name: id, Port: 1, Check: check }, { strict: true, scripts: true })
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
      await catalog.register(parsed.value)
    }
    await script('good', 'echo fine; exit 0')
    await script('hot', 'echo hot >&2; exit 1')
    await script('bad', 'exit 3')
    await script('slow', 'sleep 60 & wait', '50ms')
    checks.start()
    await until(() => statusOf('good') === 'passing' && statusOf('hot') === 'warning')
    await until(() => statusOf('slow') === 'critical')
    expect([catalog.check('good')!.output, catalog.check('hot')!.output]).toEqual(['fine\n', 'hot\n'])
    expect(catalog.check('slow')!.output).toMatch(/Timed out|no answer within 50 ms/)
    expect(statusOf('bad')).toBe('critical')
  })

  it('takes the node’s own checks over by an alias of the node', async () => {
    checks = new HealthChecks(catalog, {})
    const disk = parseCheckDefinition({ Name: 'disk', TTL: '1h', Status: 'passing' })
    if (!disk.ok) throw new Error('invalid')
    await catalog.registerCheck(disk.value)
    await register('alias', { AliasNode: 'node-1' })
    await register('other', { AliasNode: 'node-2' })
    checks.start()
    await until(() => statusOf('alias') === 'passing')
    await catalog.setCheckStatus('disk', 'critical', 'full')
    await until(() => statusOf('alias') === 'critical')
    expect(catalog.check('alias')!.output).toBe('full')
    expect(catalog.check('other')!.output).toBe('Node node-2 could not be found')
  })

  it('deregisters a service that stays critical', async () => {
    const gone: string[] = []
    checks = new HealthChecks(catalog, { onDeregister: id => gone.push(id) })
    const parsed = parseServiceDefinition({ Name: 'old', Port: 1, Check: { CheckID: 'old', TTL: '1h' } }, { strict: true })
    if (!parsed.ok) throw new Error('invalid')
    // The registration's floor is a minute; shortened here below it.
    await catalog.register({ ...parsed.value, checks: [{ ...parsed.value.checks[0]!, deregisterAfterMs: 5 }] })
    checks.start()
    await until(() => catalog.instance('old') === undefined)
    expect(gone).toEqual(['old'])
  })

  it('what could not be written, and no later run would find again, is written a moment later', async () => {
    const store = new RefusingStore()
    catalog = await Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
    const problems: string[] = []
    const onProblem = (id: string): void => {
      problems.push(id)
      // Its heartbeat comes while its removal is refused.
      if (id === 'well') checks.updateTtl(id, 'passing', '').catch(() => {})
    }
    checks = new HealthChecks(catalog, { onProblem })
    await register('job', { TTL: '30ms', Status: 'passing' })
    await register('base', { TTL: '1h', Status: 'passing' })
    await register('alias', { AliasService: 'base', Status: 'critical' })
    for (const [id, deregisterAfterMs] of [
      ['well', 20],
      ['old', 30],
    ] as const) {
      const critical = parseServiceDefinition({ Name: id, Port: 1, Check: { CheckID: id, TTL: '1h' } }, { strict: true })
      if (!critical.ok) throw new Error('invalid')
      await catalog.register({ ...critical.value, checks: [{ ...critical.value.checks[0]!, deregisterAfterMs }] })
    }
    store.refusals = 5
    checks.start()
    await until(() => statusOf('job') === 'critical' && statusOf('alias') === 'passing' && catalog.instance('old') === undefined)
    expect(problems.sort()).toEqual(['alias', 'job', 'old', 'well'])
    expect(catalog.instance('well')).toBeDefined()
  })

  it('runs no more at once than its limit, and all of them in the end', async () => {
    hold = true
    const count = MAX_CONCURRENT_CHECKS + 20
    for (let i = 0; i < count; i++)
      await register(`s${i}`, { HTTP: `http://127.0.0.1:${port}/`, Interval: '1h', Timeout: '20s', Status: 'passing' })
    const full = new Promise<void>(resolve => server.on('request', () => void (open === MAX_CONCURRENT_CHECKS && resolve())))
    checks.start()
    await full
    status = 500
    hold = false
    for (const response of held) response.writeHead(status).end()
    await until(() => [...catalog.checks()].every(({ status: is }) => is === 'critical'))
    expect(mostOpen).toBe(MAX_CONCURRENT_CHECKS)
  })

  it('runs the checks of other nodes only where their metadata says that nobody else does', async () => {
    const check = { CheckID: 'up', Name: 'up', Definition: { HTTP: `http://127.0.0.1:${port}/`, Interval: '5ms' } }
    const { check: registered } = readRegisteredCheck(new FieldReader(check, '', []))
    await catalog.change(draft => {
      for (const [name, Meta] of [
        ['watched', { 'external-node': 'true' }],
        ['left', null],
      ] as const) {
        draft.setNode({ ID: '', Node: name, Address: '127.0.0.1', TaggedAddresses: null, Meta })
        draft.setCheck(name, registered)
      }
    })
    checks.start()
    await until(() => catalog.checkOn('watched', 'up')?.status === 'passing')
    expect(catalog.checkOn('watched', 'up')!.registered).toEqual(registered.registered)
    expect(catalog.checkOn('left', 'up')!.status).toBe('critical')
    await catalog.change(draft => draft.deleteNode('watched'))
    await register('alias', { AliasNode: 'left' })
    await catalog.change(draft => draft.setCheck('left', { ...registered, status: 'passing' }))
    await until(() => statusOf('alias') === 'passing')
  })
})
