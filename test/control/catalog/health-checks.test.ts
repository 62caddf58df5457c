import { createServer, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { HealthChecks, MAX_CONCURRENT_CHECKS } from '../../../src/control/catalog/health-checks.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'

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
  catalog = await Catalog.open(new MemoryStore(), { sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
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
    expect(catalog.check('web')!.output).toContain('200 Output: x-probe yes')
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

  it('waits for as many failures as configured', async () => {
    let runs = 0
    server.on('request', () => runs++)
    status = 500
    await register('web', { HTTP: `http://127.0.0.1:${port}/`, Interval: '5ms', FailuresBeforeCritical: 3, Status: 'passing' })
    checks.start()
    await until(() => statusOf('web') === 'critical')
    expect(runs).toBeGreaterThanOrEqual(4)
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
})
