// `outrigger import` from a control plane of ours, and from answers in the shapes that Consul gives: what is taken, what is said of the rest,
// and that a second run changes nothing.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { ControlPlaneOptions } from '../../../src/control/control-plane.js'
import { CliFixture, type Run } from '../../support/cli-fixture.js'

const MANAGEMENT = '3c1a9b4e-2c9f-4f5e-9d62-6f1a7f0f9a11'
const ACL: ControlPlaneOptions = { acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT } }
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function fixture(options: ControlPlaneOptions = {}): Promise<CliFixture> {
  const made = await new CliFixture(options).start()
  cleanups.push(() => made.stop())
  if (options.acl !== undefined) made.env['CONSUL_HTTP_TOKEN'] = MANAGEMENT
  return made
}

async function call(at: CliFixture, method: string, path: string, body?: unknown, token = MANAGEMENT): Promise<unknown> {
  const response = await fetch(`http://${at.plane.httpAddress}${path}`, {
    method,
    headers: { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`)
  return JSON.parse(text)
}

const lines = ({ out }: Run): string[] => out.trim().split('\n')

describe('from a control plane of ours', () => {
  it('takes everything that is kept, and changes nothing a second time', async () => {
    const source = await fixture(ACL)
    const target = await fixture(ACL)
    // The router needs the protocol of both.
    for (const [path, body] of [
      ['/v1/acl/policy', { Name: 'keys', Description: 'd', Rules: 'key_prefix "app/" { policy = "write" }' }],
      ['/v1/acl/role', { Name: 'ops', Policies: [{ Name: 'keys' }], ServiceIdentities: [{ ServiceName: 'web' }] }],
      [
        '/v1/acl/auth-method',
        { Name: 'ci', Type: 'jwt', MaxTokenTTL: '1h', Config: { JWKSURL: 'https://ci.example/keys', BoundAudiences: ['mesh'] } },
      ],
      ['/v1/acl/binding-rule', { AuthMethod: 'ci', BindType: 'role', BindName: 'ops', Selector: '' }],
      ['/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http' }],
      [
        '/v1/config',
        { Kind: 'service-router', Name: 'web', Routes: [{ Match: { HTTP: { PathPrefix: '/a' } }, Destination: { Service: 'a' } }] },
      ],
      ['/v1/config', { Kind: 'service-defaults', Name: 'a', Protocol: 'http' }],
      ['/v1/config', { Kind: 'service-intentions', Name: 'web', Sources: [{ Name: 'a', Action: 'allow' }] }],
      ['/v1/kv/app/ä b?flags=9007199254740993', 'value\u0000'],
      ['/v1/kv/app/empty', ''],
    ] as const)
      await call(source, 'PUT', path, body).catch(async () => {
        await call(source, 'PUT', '/v1/config', { Kind: 'service-defaults', Name: 'a', Protocol: 'http' })
        await call(source, 'PUT', path, body)
      })
    const token = (await call(source, 'PUT', '/v1/acl/token', { Roles: [{ Name: 'ops' }], Description: 'of a person' })) as {
      SecretID: string
    }
    const from = ['--from', source.plane.httpAddress, '--from-token', MANAGEMENT]

    const dry = await target.call('import', ...from, '--dry-run')
    expect(lines(dry)[0]).toBe('dry run, nothing is written:')
    expect(await call(target, 'GET', '/v1/config')).toEqual([])

    const first = await target.call('import', ...from)
    expect(first.code, first.err).toBe(0)
    expect(lines(first)).toEqual([
      'ACL policies: 1 created, 0 updated, 0 unchanged',
      'ACL roles: 1 created, 0 updated, 0 unchanged',
      'auth methods: 1 created, 0 updated, 0 unchanged',
      'binding rules: 1 created, 0 updated, 0 unchanged',
      expect.stringMatching(/^ACL tokens: 1 created, 0 updated, 2 unchanged$|^ACL tokens: 2 created, 0 updated, 1 unchanged$/),
      'config entries: 4 created, 0 updated, 0 unchanged',
      'keys: 2 created, 0 updated, 0 unchanged',
    ])
    expect(first.err).toContain('left: services and nodes')
    const pair = (list: unknown): unknown => (list as unknown[])[0]
    for (const path of ['/v1/kv/app/ä b', '/v1/kv/app/empty']) {
      const { CreateIndex: _a, ModifyIndex: _b, ...there } = pair(await call(source, 'GET', path)) as Record<string, unknown>
      expect(pair(await call(target, 'GET', path))).toMatchObject(there)
    }
    // Who had a token has it, with what it may do.
    expect(await call(target, 'PUT', '/v1/kv/app/x', 'y', token.SecretID)).toBe(true)
    await expect(call(target, 'PUT', '/v1/kv/other', 'y', token.SecretID)).rejects.toThrow('403')

    const index = (await fetch(`http://${target.plane.httpAddress}/v1/config`, { headers: { 'x-consul-token': MANAGEMENT } })).headers.get(
      'x-consul-index',
    )
    const second = await target.call('import', ...from)
    expect(second.code).toBe(0)
    for (const line of lines(second)) expect(line).toMatch(/: 0 created, 0 updated, \d+ unchanged$/)
    const after = await fetch(`http://${target.plane.httpAddress}/v1/config`, { headers: { 'x-consul-token': MANAGEMENT } })
    expect(after.headers.get('x-consul-index')).toBe(index)

    await call(source, 'PUT', `/v1/acl/policy/${await policyId(source, 'keys')}`, {
      Name: 'keys',
      Rules: 'key_prefix "b/" { policy = "read" }',
    })
    expect(lines(await target.call('import', ...from))[0]).toBe('ACL policies: 0 created, 1 updated, 0 unchanged')
  })

  it('says what it may not read, and what is off here', async () => {
    const source = await fixture(ACL)
    const open = await fixture()
    const run = await open.call('import', '--from', source.plane.httpAddress, '--from-token', MANAGEMENT)
    expect(run.code).toBe(1)
    expect(run.err).toContain('not taken: ACLs: they are off at')
    const denied = await open.call('import', '--from', source.plane.httpAddress)
    expect(denied.code).toBe(1)
    expect(denied.err).toContain('Permission denied')
    const itself = await open.call('import', '--from', open.plane.httpAddress)
    expect(itself.err).toContain('is the control plane that is written to')
    const nobody = await open.call('import', '--from', '127.0.0.1:1')
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('connection refused')])
  })
})

async function policyId(at: CliFixture, name: string): Promise<string> {
  return ((await call(at, 'GET', `/v1/acl/policy/name/${name}`)) as { ID: string }).ID
}

/** Answers as a Consul 1.20 gives them, with the fields that it adds. */
const CONSUL: Readonly<Record<string, unknown>> = {
  '/v1/acl/policies': 401,
  '/v1/config/service-defaults': [
    {
      Kind: 'service-defaults',
      Name: 'web',
      Protocol: 'http',
      TransparentProxy: {},
      MeshGateway: {},
      Expose: {},
      CreateIndex: 12,
      ModifyIndex: 12,
    },
  ],
  '/v1/config/service-splitter': [
    { Kind: 'service-splitter', Name: 'nowhere', Splits: [{ Weight: 100, Service: 'other' }], CreateIndex: 13, ModifyIndex: 13 },
  ],
  '/v1/config': [
    { Kind: 'service-defaults', Name: 'web' },
    { Kind: 'brand-new-kind', Name: 'x' },
  ],
  '/v1/connect/intentions': [
    {
      ID: '8f246b77-f3e1-ff88-5b48-8ec93abf3e05',
      SourceNS: 'default',
      SourceName: 'a',
      DestinationNS: 'default',
      DestinationName: 'web',
      SourceType: 'consul',
      Action: 'allow',
      Precedence: 9,
      CreateIndex: 11,
      ModifyIndex: 11,
    },
  ],
  '/v1/kv/': [
    {
      LockIndex: 1,
      Key: 'lock',
      Flags: 3,
      Value: 'aGVsZA==',
      Session: 'adf4238a-882b-9ddc-4a9d-5b6758e4159e',
      CreateIndex: 1,
      ModifyIndex: 2,
    },
    { LockIndex: 0, Key: 'folder/', Flags: 0, Value: null, CreateIndex: 3, ModifyIndex: 3 },
  ],
}

async function recordedConsul(): Promise<string> {
  const server: Server = createServer((request, response) => {
    const path = request.url!.split('?')[0]!
    const answer = CONSUL[path]
    if (answer === 401) return response.writeHead(401).end('ACL support disabled')
    if (answer === undefined && path.startsWith('/v1/config/')) return response.end('[]')
    if (answer === undefined) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'application/json', 'x-consul-index': '42' }).end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => new Promise<void>(resolve => server.close(() => resolve())))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('from answers that Consul gives', () => {
  it('takes entries, intentions of the older kind and pairs; says what it leaves and what is refused', async () => {
    const target = await fixture()
    const from = ['--from', await recordedConsul()]
    const run = await target.call('import', ...from)
    expect(run.code).toBe(1)
    expect(lines(run)).toEqual(['config entries: 2 created, 0 updated, 0 unchanged, 1 refused', 'keys: 2 created, 0 updated, 0 unchanged'])
    expect(run.err).toContain('left: ACLs: they are off at the source')
    expect(run.err).toContain('left: config entry brand-new-kind/x: a kind that nobody here knows')
    expect(run.err).toContain('left: the lock on key lock: sessions are not taken')
    expect(run.err).toMatch(/not taken: config entries: service-splitter\/nowhere: .*protocol/)
    expect(await call(target, 'GET', '/v1/config/service-intentions/web')).toMatchObject({ Sources: [{ Name: 'a', Action: 'allow' }] })
    expect(await call(target, 'GET', '/v1/kv/lock')).toMatchObject([{ Flags: 3, Value: 'aGVsZA==' }])
    const again = await target.call('import', ...from)
    expect(lines(again)).toEqual([
      expect.stringMatching(/^config entries: 0 created, \d updated, \d unchanged, 1 refused$/),
      'keys: 0 created, 0 updated, 2 unchanged',
    ])
  })
})
