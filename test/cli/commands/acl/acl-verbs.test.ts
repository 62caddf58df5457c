// Consul's ACL commands against a control plane with ACLs: what they print, and that they do what they say.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CliFixture } from '../../../support/cli-fixture.js'

const cli = new CliFixture({ acl: { defaultPolicy: 'deny' } })
const field = (text: string, name: string): string => new RegExp(`^${name}: +(.*)$`, 'm').exec(text)![1]!

beforeAll(async () => {
  await cli.start()
  const bootstrapped = await cli.out('acl', 'bootstrap')
  expect(bootstrapped).toMatch(
    /^AccessorID: {7}[0-9a-f-]{36}\nSecretID: {9}[0-9a-f-]{36}\nDescription: {6}.*\nLocal: {12}false\nCreate Time: .*\nPolicies:\n {3}00000000-0000-0000-0000-000000000001 - global-management\n/,
  )
  cli.env['CONSUL_HTTP_TOKEN'] = field(bootstrapped, 'SecretID')
})
afterAll(() => cli.stop())

it('a denial names the flag and the variable', async () => {
  expect(await cli.call('kv', 'put', '-token', '', 'x', 'y')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/Permission denied.*--token, --token-file or CONSUL_HTTP_TOKEN/),
  })
  expect((await cli.call('acl', 'bootstrap')).code).toBe(1)
})

it('policies are created, read by ID, prefix and name, updated, listed and deleted', async () => {
  const rules = cli.file('rules.hcl', 'key_prefix "app/" { policy = "write" }\n')
  const created = await cli.out('acl', 'policy', 'create', '-name=app', '-description=of the app', `-rules=@${rules}`)
  expect(created).toMatch(
    /^ID: +[0-9a-f-]{36}\nName: +app\nDescription: +of the app\nDatacenters:\nRules:\nkey_prefix "app\/" \{ policy = "write" \}\n$/,
  )
  const id = field(created, 'ID')
  for (const by of [`-id=${id}`, `-id=${id.slice(0, 8)}`, '-name=app']) expect(await cli.out('acl', 'policy', 'read', by)).toBe(created)
  expect(JSON.parse(await cli.out('acl', 'policy', 'update', '-id', id, '-description', 'new', '-format=json'))).toMatchObject({
    Name: 'app',
    Description: 'new',
    Rules: expect.stringContaining('app/'),
  })
  expect(await cli.out('acl', 'policy', 'list')).toContain('Name:         app\n')
  await cli.out('acl', 'policy', 'create', '-name=gone')
  expect(await cli.out('acl', 'policy', 'delete', '-name=gone')).toMatch(/^Policy "[0-9a-f-]{36}" deleted successfully\n$/)
  expect(await cli.call('acl', 'policy', 'read', '-name=gone')).toMatchObject({ code: 1 })
  expect(await cli.call('acl', 'policy', 'read')).toMatchObject({ code: 1, err: 'outrigger: one of --id and --name is needed\n' })
})

it('roles and tokens carry policies and identities, and what is appended joins them', async () => {
  const role = await cli.out('acl', 'role', 'create', '-name=web', '-service-identity=web:dc1', '-node-identity=node-1:dc1')
  expect(role).toMatch(/Service Identities:\n {3}web \(Datacenters: dc1\)\nNode Identities:\n {3}node-1 \(Datacenter: dc1\)\n/)
  expect(await cli.out('acl', 'role', 'update', '-name=web', '-policy-name=app')).toMatch(/Policies:\n {3}\S+ - app\nService Identities:/)
  const token = await cli.out('acl', 'token', 'create', '-description=t', '-role-name=web', '-expires-ttl=1h')
  expect(token).toMatch(/Expiration Time: .*\nRoles:\n {3}\S+ - web\n/)
  const accessor = field(token, 'AccessorID')
  expect(await cli.out('acl', 'token', 'update', '-accessor-id', accessor, '-append-policy-name=app')).toMatch(
    /Policies:\n.* - app\nRoles:\n.* - web\n/,
  )
  expect(await cli.out('acl', 'token', 'update', '-accessor-id', accessor, '-templated-policy=builtin/service', '-var=name:api')).toMatch(
    /Templated Policies:\n {3}builtin\/service \(Name: api\) \(Datacenters: all\)\n/,
  )
  const expanded = await cli.out('acl', 'token', 'read', '-expanded', '-accessor-id', accessor.slice(0, 8))
  expect(expanded).toContain('   Rules:\n   key_prefix "app/" { policy = "write" }\n')
  expect(await cli.out('acl', 'token', 'clone', '-accessor-id', accessor, '-description', 'copy')).toMatch(/Description: +copy\n/)
  const mine = ['acl', 'token', 'read', '-self', '-token', field(token, 'SecretID')]
  expect(field(await cli.out(...mine), 'AccessorID')).toBe(accessor)
  expect(await cli.out('kv', 'put', '-token', field(token, 'SecretID'), 'app/x', '1')).toContain('Success!')
  expect(await cli.out('acl', 'token', 'list')).toContain(accessor)
  expect(await cli.out('acl', 'token', 'delete', '-accessor-id', accessor)).toBe(`Token "${accessor}" deleted successfully\n`)
  expect((await cli.call(...mine)).code).toBe(1)
  expect(await cli.call('acl', 'token', 'create')).toMatchObject({ code: 1, err: expect.stringContaining('needs a policy') })
  expect(await cli.out('acl', 'role', 'list')).toContain('Name:         web')
  expect(await cli.out('acl', 'role', 'read', '-name=web')).toContain('Name:         web')
  expect(await cli.out('acl', 'role', 'delete', '-name=web')).toContain('deleted successfully')
})

it('the agent’s own tokens are set by kind', async () => {
  expect(await cli.out('acl', 'set-agent-token', 'agent', '00000000-0000-0000-0000-00000000abcd')).toBe(
    'ACL token "agent" set successfully\n',
  )
  expect(await cli.call('acl', 'set-agent-token', 'nonsense', 'x')).toMatchObject({
    code: 1,
    err: expect.stringContaining('must be one of default'),
  })
})

it('templated policies are listed, shown and previewed', async () => {
  expect((await cli.out('acl', 'templated-policy', 'list')).split('\n')).toContain('builtin/service')
  expect(await cli.out('acl', 'templated-policy', 'read', '-name=builtin/service')).toMatch(/^Name: +builtin\/service\nRaw Template:\n/)
  expect(await cli.out('acl', 'templated-policy', 'preview', '-name=builtin/service', '-var=name:api')).toContain('service "api"')
})

it('who logs in by an auth method gets a token into a file of his own, and gives it back', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const config = {
    JWTValidationPubKeys: [await exportSPKI(publicKey)],
    BoundIssuer: 'test',
    JWTSupportedAlgs: ['ES256'],
    ClaimMappings: { sub: 'who' },
  }
  const method = ['acl', 'auth-method']
  expect(await cli.out(...method, 'create', '-name=jwt', '-type=jwt', `-config=${JSON.stringify(config)}`)).toMatch(
    /^Name: +jwt\nType: +jwt\n/,
  )
  expect(await cli.out(...method, 'update', '-name=jwt', '-description=d')).toMatch(/Description: +d\n[\s\S]*BoundIssuer/)
  expect(await cli.out(...method, 'list')).toContain('Name:         jwt')
  const rule = await cli.out(
    'acl',
    'binding-rule',
    'create',
    '-method=jwt',
    '-bind-type=service',
    '-bind-name=web',
    '-selector=value.who==me',
  )
  const id = field(rule, 'ID')
  expect(await cli.out('acl', 'binding-rule', 'update', '-id', id.slice(0, 8), '-description', 'r')).toMatch(
    /Description: +r\nBindType: +service\nBindName: +web\nSelector: +value.who==me\n/,
  )
  expect(await cli.out('acl', 'binding-rule', 'list', '-method=jwt')).toContain(id)
  expect(await cli.out('acl', 'binding-rule', 'read', '-id', id)).toContain(id)

  const jwt = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('test')
    .setSubject('me')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(privateKey)
  const sink = join(cli.folder, 'token')
  const login = ['login', '-method=jwt', `-token-sink-file=${sink}`, `-bearer-token-file=${cli.file('jwt', `${jwt}\n`)}`]
  expect(await cli.call(...login)).toEqual({ code: 0, out: '', err: '' })
  expect(statSync(sink).mode & 0o777).toBe(0o600)
  const asMe = ['-token-file', sink]
  expect(await cli.out('acl', 'token', 'read', '-self', ...asMe)).toMatch(/Auth Method: +jwt\n[\s\S]*Service Identities:\n {3}web /)
  expect(readFileSync(sink, 'utf8')).toMatch(/^[0-9a-f-]{36}$/)
  expect(await cli.call('logout', ...asMe)).toEqual({ code: 0, out: '', err: '' })
  expect((await cli.call('acl', 'token', 'read', '-self', ...asMe)).code).toBe(1)
  expect((await cli.call(...login.slice(0, 3))).err).toContain('--bearer-token-file is needed')
  expect(await cli.out('acl', 'binding-rule', 'delete', '-id', id)).toContain('deleted successfully')
  expect(await cli.out(...method, 'delete', '-name=jwt')).toBe('Auth-method "jwt" deleted successfully\n')
})
