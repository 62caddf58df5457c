// Rollouts in a mesh of real processes under load that never pauses: a good version, a bad one, one of which copies are sent, cohorts,
// blue/green with signed webhooks, and a control plane that is killed with -9 at each step. What a version answers is its own doing; no
// request may fail by the mechanism.
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { until } from '../support/proxy-process.js'
import { SteadyLoad } from '../support/steady-load.js'

interface Seen {
  readonly Phase: string
  readonly Active: boolean
  readonly Step: number
  readonly Weight: number
  readonly Reason: string
  readonly Audit: readonly { readonly Event: string; readonly Weight: number }[]
}

const ANALYSIS = { Interval: '1s', MinRequests: 5, SuccessRate: 99, HoldLimit: 5 }
const folder = mkdtempSync(join(tmpdir(), 'outrigger-rollouts-'))
const secretFile = join(folder, 'webhook.key')
const SECRET = Buffer.alloc(32, 9)
writeFileSync(secretFile, `whsec_${SECRET.toString('base64')}\n`)
const mesh = new MeshFixture(['--load-report-interval', '200ms', '--webhook-secret-file', secretFile])
/** What version 2 answers to one in three. */
let trouble = '200 OK'
const origins = {
  v1: new HttpOrigin((_, socket) => void socket.write(http('v1'))),
  v2: new HttpOrigin(({ index }, socket) => void socket.write(http('v2', index % 3 === 0 ? trouble : '200 OK'))),
}
let port: number

beforeAll(async () => {
  await Promise.all(Object.values(origins).map(origin => origin.listen()))
  await mesh.start()
  for (const [version, origin] of Object.entries(origins))
    await mesh.register(`api-${version}`, { name: 'api', port: origin.port, meta: { version } })
  const web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  port = web.upstreams.get('api')!
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  await mesh.write('/v1/config', {
    Kind: 'service-resolver',
    Name: 'api',
    DefaultSubset: 'v1',
    Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
  })
  for (const id of ['api-v1', 'api-v2', 'web']) await mesh.sidecar(id)
}, 180_000)
afterAll(async () => {
  await mesh.stop()
  await Promise.all(Object.values(origins).map(origin => origin.close()))
  rmSync(folder, { recursive: true })
})
/** Everything at the old version again. */
beforeEach(async () => {
  trouble = '200 OK'
  await mesh.write('/v1/config', { Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 100, ServiceSubset: 'v1' }] })
})

async function begin(name: string, rollout: object): Promise<void> {
  await mesh.write(`/v1/outrigger/rollout/${name}`, { Service: 'api', From: 'v1', To: 'v2', ...rollout })
  await mesh.write(`/v1/outrigger/rollout/${name}/start`)
}

const see = (name: string): Promise<Seen> => mesh.read<Seen>(`/v1/outrigger/rollout/${name}`)

async function end(name: string): Promise<Seen> {
  let seen: Seen | undefined
  await until(`${name} ends`, async () => {
    seen = await see(name)
    return !seen.Active || Promise.reject(new Error(JSON.stringify(seen)))
  })
  return seen!
}

it('a good version gets all requests, and none fails', { timeout: 120_000 }, async () => {
  const load = new SteadyLoad(port)
  const before = origins.v2.requests.length
  await begin('good', {
    Steps: [
      { Weight: 10, Pause: '1s' },
      { Weight: 100, Pause: '1s' },
    ],
    // A busy machine sends few requests, and that is nothing against the version.
    Analysis: { ...ANALYSIS, MinRequests: 1, HoldLimit: 100 },
  })
  const { Phase, Reason, Audit } = await end('good')
  await load.stop()
  expect([Phase, Reason]).toEqual(['Succeeded', 'all requests go to v2'])
  expect(Audit.filter(({ Event }) => Event === 'step').map(({ Weight }) => Weight)).toEqual([10, 100])
  expect(origins.v2.requests.length).toBeGreaterThan(before)
  expect(load.failures).toEqual([])
})

it('a bad version goes back, with the reason', { timeout: 120_000 }, async () => {
  trouble = '503 Service Unavailable'
  const load = new SteadyLoad(port)
  await begin('bad', { Steps: [{ Weight: 20, Pause: '10s' }], Analysis: ANALYSIS })
  const { Phase, Reason } = await end('bad')
  const known = load.failures.length
  const back = new SteadyLoad(port)
  await until('more requests', async () => back.sent > 50)
  await Promise.all([load.stop(), back.stop()])
  expect(Phase).toBe('RolledBack')
  expect(Reason).toMatch(/^errors: success rate \d+(\.\d+)? % below 99 % \(\d+ of \d+ requests failed\)$/)
  // The version's own answers, and after the way back none of them any more.
  expect(load.failures.filter(failure => !failure.startsWith('503 v2'))).toEqual([])
  expect(load.failures.length).toBeGreaterThan(0)
  expect(load.failures.length - known).toBeLessThanOrEqual(1)
  expect(back.failures).toEqual([])
})

it('of a version that is bad in copies, no answer is seen', { timeout: 120_000 }, async () => {
  trouble = '500 Internal Server Error'
  const load = new SteadyLoad(port)
  const before = origins.v2.requests.length
  await begin('copies', { Mirror: { Percent: 100, Duration: '10s' }, Steps: [{ Weight: 20 }], Analysis: ANALYSIS })
  const { Phase, Reason } = await end('copies')
  await load.stop()
  expect([Phase, Reason]).toEqual(['RolledBack', expect.stringMatching(/^errors: /)])
  expect(origins.v2.requests.length - before).toBeGreaterThan(5)
  expect(load.failures).toEqual([])
})

/** The version that answers. */
async function versionFor(headers: Record<string, string>): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers })
  return `${answer.status} ${await answer.text()}`
}

it('a cohort has the new version by cookie or header, everybody else the old one', { timeout: 120_000 }, async () => {
  const load = new SteadyLoad(port)
  const before = origins.v2.requests.length
  await begin('cohorts', {
    Cohorts: [
      { Cookie: 'variant', Exact: 'b' },
      { Header: 'x-team', Prefix: 'dev-' },
    ],
    Steps: [{ Weight: 0, Gate: 'manual' }],
  })
  await until('it waits to be promoted', async () => (await see('cohorts')).Phase === 'Gated' || Promise.reject(new Error('not yet')))
  expect(await versionFor({ cookie: 'a=1; variant=b; c=2' })).toBe('200 v2')
  expect(await versionFor({ 'x-team': 'dev-mesh' })).toBe('200 v2')
  const others = [{ cookie: 'variant=bb' }, { cookie: 'xvariant=b' }, { 'x-team': 'ops' }, {}]
  for (const headers of others) expect(await versionFor(headers as Record<string, string>)).toBe('200 v1')
  expect(origins.v2.requests.length - before).toBe(2)
  await mesh.write('/v1/outrigger/rollout/cohorts/abort')
  expect((await end('cohorts')).Phase).toBe('RolledBack')
  expect(await versionFor({ cookie: 'variant=b' })).toBe('200 v1')
  await load.stop()
  expect(load.failures).toEqual([])
})

it('blue/green shows the preview alone, then all at once, and its signed webhooks tell of it', { timeout: 120_000 }, async () => {
  const told: string[] = []
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers
    const expected = `v1,${createHmac('sha256', SECRET).update(`${id}.${at}.${body}`).digest('base64')}`
    const { When, Phase, Weight } = JSON.parse(body)
    told.push(`${signature === expected ? 'signed' : 'forged'} ${When} ${Phase} ${Weight}`)
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const load = new SteadyLoad(port)
  await begin('green', {
    Cohorts: [{ Header: 'x-preview', Exact: 'green' }],
    BlueGreen: { Gate: 'manual', Observe: '0s' },
    Webhooks: ['before', 'after'].map(When => ({ Name: When, When, URL })),
  })
  await until('it waits to be promoted', async () => (await see('green')).Phase === 'Gated' || Promise.reject(new Error('not yet')))
  expect([await versionFor({ 'x-preview': 'green' }), await versionFor({})]).toEqual(['200 v2', '200 v1'])
  await mesh.write('/v1/outrigger/rollout/green/promote')
  expect((await end('green')).Phase).toBe('Succeeded')
  expect(await versionFor({})).toBe('200 v2')
  await load.stop()
  server.closeAllConnections()
  server.close()
  expect(told).toEqual(['signed before Starting 0', 'signed after Finishing 100'])
  expect(load.failures).toEqual([])
})

it('a control plane killed at each step goes on where it was, and no request fails', { timeout: 180_000 }, async () => {
  const weights = [10, 50, 100]
  const load = new SteadyLoad(port)
  await begin('killed', { Steps: weights.map(Weight => ({ Weight, Pause: '1s' })) })
  for (const [i, weight] of weights.entries()) {
    await until(`step ${i + 1}`, async () => (await see('killed')).Step >= i + 1 || Promise.reject(new Error('not yet')))
    await mesh.kill()
    await mesh.start()
    const { Splits } = await mesh.read('/v1/config/service-splitter/api')
    expect(Splits.at(-1)).toMatchObject({ ServiceSubset: 'v2', Weight: expect.any(Number) })
    expect(Splits.at(-1).Weight).toBeGreaterThanOrEqual(weight)
  }
  const { Phase, Audit } = await end('killed')
  await load.stop()
  expect(Phase).toBe('Succeeded')
  // Each once: nothing is done again, nothing is left out.
  expect(Audit.map(({ Event }) => Event)).toEqual(['start', 'step', 'step', 'step', 'finish', 'succeed'])
  expect(load.failures).toEqual([])
})
