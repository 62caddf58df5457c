// Rollouts over the API and the command line, with the real store, entries and catalog: written, commanded, followed, and who may.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { CliFixture } from '../../support/cli-fixture.js'

const ROLLOUT = {
  Kind: 'rollout',
  Name: 'api-v2',
  Service: 'api',
  From: 'v1',
  To: 'v2',
  Steps: [{ Weight: 20, Gate: 'manual' }, { Weight: 100 }],
}
const ENTRIES = [
  { Kind: 'service-defaults', Name: 'api', Protocol: 'http' },
  {
    Kind: 'service-resolver',
    Name: 'api',
    Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
  },
]
const SERVICES = ['v1', 'v2'].map(version => ({
  ID: `api-${version}`,
  Name: 'api',
  Port: 9_000,
  Meta: { version },
  Connect: { SidecarService: { Checks: [] } },
}))

const cli = new CliFixture()
beforeAll(() => cli.start())
afterAll(() => cli.stop())

async function call(
  method: string,
  path: string,
  body?: object,
  token?: string,
  plane = cli.plane,
): Promise<{ status: number; text: string; headers: Headers }> {
  const response = await fetch(`http://${plane.httpAddress}${path}`, {
    method,
    headers: token === undefined ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

/** Waits by blocking queries until the rollout is there. */
async function until(phase: string, path = '/v1/outrigger/rollout/api-v2'): Promise<Record<string, unknown>> {
  for (let index = '0'; ; ) {
    const { text, headers } = await call('GET', `${path}?index=${index}&wait=10s`)
    const found = JSON.parse(text) as Record<string, unknown>
    if (found['Phase'] === phase) return found
    index = headers.get('x-consul-index')!
  }
}

describe('outrigger rollout', () => {
  it('is written by apply, which says what stands against a start', async () => {
    const file = cli.file('rollout.json', JSON.stringify([ROLLOUT, ...ENTRIES]))
    const { code, out, err } = await cli.call('apply', '-f', file)
    // Entries come first, whatever the order in the file.
    expect([code, out, err]).toEqual([0, 'applied service-defaults/api\napplied service-resolver/api\napplied rollout/api-v2\n', ''])
    const other = cli.file('other.json', JSON.stringify({ ...ROLLOUT, Name: 'api-v3', To: 'v3' }))
    expect(await cli.call('apply', '-f', other)).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^warning: rollout\/api-v3: it could not be started today: .*does not have a subset named "v3"/),
    })
    await cli.out('rollout', 'delete', 'api-v3')
    const bad = cli.file('bad.json', JSON.stringify({ ...ROLLOUT, Steps: [{ Weight: 120, Pauze: '1s' }] }))
    expect(await cli.call('apply', '-f', bad)).toMatchObject({
      code: 1,
      err: expect.stringContaining('Steps[0].Weight: must be from 0 to 100, not 120; Steps[0].Pauze: unknown field'),
    })
  })

  it('is refused while the new version is not there', async () => {
    expect(await cli.call('rollout', 'start', 'api-v2')).toMatchObject({
      code: 1,
      err: 'outrigger: subset v2 of api has no instance that is not critical\n',
    })
    await cli.out('register', cli.file('services.json', JSON.stringify({ services: SERVICES })))
  })

  it('goes through its steps, and is followed', async () => {
    expect(await cli.out('rollout', 'start', 'api-v2')).toMatch(/^api-v2: (Starting|Stepping|Gated)\n$/)
    await until('Gated')
    expect(await cli.out('rollout', 'list')).toMatch(
      /^Name +Service +Phase +Step +Weight +Reason\napi-v2 +api +Gated +1\/2 +20% +step 1 waits to be promoted\n$/,
    )
    const followed = cli.call('rollout', 'watch', 'api-v2')
    await cli.out('rollout', 'promote', '--reason', 'looked at', 'api-v2')
    const { code, out } = await followed
    expect(code).toBe(0)
    expect(
      out
        .split('\n')
        .slice(0, -1)
        .map(line => line.split(/ {2,}/).slice(1, 4).join(' ')),
    ).toEqual([
      'start Starting 0%',
      'step Stepping 20%',
      'gate Gated 20%',
      'step Stepping 100%',
      'finish Finishing 100%',
      'succeed Succeeded 100%',
    ])
    expect(await cli.out('rollout', 'status', 'api-v2')).toMatch(
      /Phase: +Succeeded\nStep: +2\/2 \(20% gate, 100%\)\n[\s\S]*promote by an operator: looked at/,
    )
    const splitter = JSON.parse(await cli.out('config', 'read', '-kind', 'service-splitter', '-name', 'api'))
    expect(splitter).toMatchObject({
      Meta: { 'outrigger-rollout': 'api-v2' },
      Splits: [
        { Weight: 0, ServiceSubset: 'v1' },
        { Weight: 100, ServiceSubset: 'v2' },
      ],
    })
  })

  it('says what is not possible', async () => {
    expect(await cli.call('rollout', 'abort', 'api-v2')).toMatchObject({
      code: 1,
      err: 'outrigger: rollout api-v2 is Succeeded: abort is not possible\n',
    })
    expect(await cli.call('rollout', 'start', 'nobody')).toMatchObject({ code: 1, err: 'outrigger: there is no rollout "nobody"\n' })
    expect(await cli.call('rollout', 'delete', 'nobody')).toMatchObject({ code: 1 })
    expect(await call('PUT', '/v1/outrigger/rollout/api-v2/stop')).toMatchObject({
      status: 404,
      text: '"stop": must be one of start, promote, pause, resume, abort',
    })
  })

  it('that another writer meets ends in a conflict, which watch says by its exit code', async () => {
    const back = { Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 100, ServiceSubset: 'v1' }] }
    await cli.out('apply', '-f', cli.file('back.json', JSON.stringify(back)))
    await cli.out('rollout', 'start', 'api-v2')
    await until('Gated')
    const followed = cli.call('rollout', 'watch', '--json', 'api-v2')
    await cli.out('apply', '-f', cli.file('back.json', JSON.stringify(back)))
    const { code, out } = await followed
    expect(code).toBe(2)
    expect(JSON.parse(out.trim().split('\n').at(-1)!)).toMatchObject({ Event: 'conflict', To: 'Conflicted' })
  })

  it('is counted', async () => {
    const { text } = await call('GET', '/v1/agent/metrics?format=prometheus')
    expect(text).toContain('outrigger_control_rollouts_succeeded_total 1\n')
    expect(text).toContain('outrigger_control_rollouts_conflicted_total 1\n')
    expect(text).toContain('outrigger_control_rollouts_active 0\n')
  })

  it("is no kind of config entry, and so in no list that Consul's clients decode", async () => {
    expect((await call('GET', '/v1/config')).text).not.toContain('"rollout"')
    expect(await call('GET', '/v1/config/rollout')).toMatchObject({ status: 400, text: 'invalid config entry kind: rollout' })
  })
})

describe('with ACLs', () => {
  const MANAGEMENT = '5f0d8d1e-8c55-4a5c-8a39-0f6f2f7a5d10'
  let plane: ControlPlane
  const tokens: Record<string, { readonly SecretID: string; readonly AccessorID: string }> = {}

  beforeAll(async () => {
    plane = new ControlPlane({
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
    })
    await plane.start()
    for (const entry of ENTRIES) await call('PUT', '/v1/config', entry, MANAGEMENT, plane)
    for (const service of SERVICES) await call('PUT', '/v1/agent/service/register', service, MANAGEMENT, plane)
    for (const [name, rules] of Object.entries({
      reader: 'service "api" { policy = "read" }',
      writer: 'service "api" { policy = "write" }',
      stranger: 'service "web" { policy = "write" }',
    })) {
      await call('PUT', '/v1/acl/policy', { Name: name, Rules: rules }, MANAGEMENT, plane)
      tokens[name] = JSON.parse((await call('PUT', '/v1/acl/token', { Policies: [{ Name: name }] }, MANAGEMENT, plane)).text)
    }
  })
  afterAll(() => plane.stop())

  const as = (name: string, method: string, path: string, body?: object): ReturnType<typeof call> =>
    call(method, path, body, tokens[name]!.SecretID, plane)

  it('a rollout is written, and commanded, by who may write its service', async () => {
    const path = '/v1/outrigger/rollout/api-v2'
    expect((await as('reader', 'PUT', path, ROLLOUT)).status).toBe(403)
    expect((await as('stranger', 'PUT', path, ROLLOUT)).status).toBe(403)
    expect((await as('writer', 'PUT', path, ROLLOUT)).status).toBe(200)
    // Nor may it be made another service's.
    expect((await as('stranger', 'PUT', path, { ...ROLLOUT, Service: 'web' })).status).toBe(403)
    expect((await as('reader', 'PUT', `${path}/start`)).status).toBe(403)
    expect((await as('reader', 'DELETE', path)).status).toBe(403)
    expect((await as('writer', 'PUT', `${path}/start`)).status).toBe(200)
    const { Audit } = JSON.parse((await as('reader', 'GET', path)).text)
    expect(Audit[0]).toMatchObject({ Event: 'start', By: tokens['writer']!.AccessorID })
  })

  it('is read by who may read the service', async () => {
    expect((await as('stranger', 'GET', '/v1/outrigger/rollout/api-v2')).status).toBe(403)
    expect(JSON.parse((await as('stranger', 'GET', '/v1/outrigger/rollouts')).text)).toEqual([])
    expect(JSON.parse((await as('reader', 'GET', '/v1/outrigger/rollouts')).text)).toMatchObject([{ Name: 'api-v2' }])
  })
})
