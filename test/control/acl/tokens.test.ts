// Tokens, policies, roles and logins on a real (in-memory) store: what is granted, taken away, refused, and what a restart keeps.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import { AclTable } from '../../../src/control/acl/acl-table.js'
import { ANONYMOUS_ACCESSOR_ID, GLOBAL_MANAGEMENT_ID } from '../../../src/control/acl/acl-types.js'
import { AclWrites } from '../../../src/control/acl/acl-writes.js'
import { IdentityVerifier, methodProblem } from '../../../src/control/acl/auth-methods.js'
import { selectorProblem } from '../../../src/control/acl/binding-selector.js'
import { BootstrapReset } from '../../../src/control/acl/bootstrap-reset.js'
import { Login } from '../../../src/control/acl/login.js'
import { TokenResolver } from '../../../src/control/acl/token-resolver.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'

const START = Date.parse('2026-11-29T00:00:00Z')
const HOUR = 3_600_000
let now: number
let store: MemoryStore
let table: AclTable
let writes: AclWrites
let resolver: TokenResolver

async function open(): Promise<void> {
  table = await AclTable.load(store)
  writes = new AclWrites({ store, table, nowMs: () => now, methodProblem, selectorProblem })
  resolver = new TokenResolver({ table, defaultPolicy: 'deny', datacenter: 'dc1', nowMs: () => now })
}

beforeEach(async () => {
  now = START
  store = new MemoryStore()
  await open()
  await writes.ensure(undefined)
})

const can = (secret: string | undefined, service: string): boolean =>
  resolver.resolve(secret)?.rules.allows('service', service, 'write') === true

describe('bootstrap', () => {
  it('gives the first management token once, over restarts too', async () => {
    const token = await writes.bootstrap(undefined)
    expect(resolver.resolve(token.SecretID)!.rules.allowsSingle('acl', 'write')).toBe(true)
    await expect(writes.bootstrap(undefined)).rejects.toThrow(/ACL bootstrap no longer allowed \(reset index: \d+\)/)
    await open()
    await expect(writes.bootstrap(undefined)).rejects.toThrow('no longer allowed')
    expect(can(token.SecretID, 'web')).toBe(true)
  })

  it('is done once more where the data directory asks for it by the index that the refusal names', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'outrigger-acl-'))
    try {
      writes = new AclWrites({ store, table, reset: new BootstrapReset(dir), nowMs: () => now, methodProblem, selectorProblem })
      await writes.bootstrap(undefined)
      const refusal = await writes.bootstrap(undefined).catch((error: Error) => error.message)
      const index = /^Permission denied: ACL bootstrap no longer allowed \(reset index: (\d+)\)$/.exec(String(refusal))![1]!
      writeFileSync(join(dir, 'acl-bootstrap-reset'), String(Number(index) + 1))
      await expect(writes.bootstrap(undefined)).rejects.toThrow('no longer allowed')
      writeFileSync(join(dir, 'acl-bootstrap-reset'), `${index}\n`)
      const taken = await writes.createToken({})
      await expect(writes.bootstrap(taken.SecretID)).rejects.toThrow('SecretID is already in use')
      const token = await writes.bootstrap(undefined)
      expect(resolver.resolve(token.SecretID)!.rules.allowsSingle('acl', 'write')).toBe(true)
      expect(readdirSync(dir)).toEqual([])
      writeFileSync(join(dir, 'acl-bootstrap-reset'), index)
      await expect(writes.bootstrap(undefined)).rejects.toThrow('no longer allowed')
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('takes the operator’s own secret, if it is a UUID', async () => {
    await expect(writes.bootstrap('secret')).rejects.toThrow('must be a UUID')
    const secret = '3b4bcf8a-4cb2-4b3d-8a7b-5a0a3b1f4f11'
    expect((await writes.bootstrap(secret)).SecretID).toBe(secret)
  })

  it('of two at once only one succeeds', async () => {
    const results = await Promise.allSettled([writes.bootstrap(undefined), writes.bootstrap(undefined)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })
})

describe('what a token may do', () => {
  it('its policies, its roles’ policies, its identities and templates, joined', async () => {
    const policy = await writes.createPolicy({ Name: 'p', Rules: 'service "a" { policy = "write" }' })
    const role = await writes.createRole({ Name: 'r', Policies: [{ ID: policy.ID }], ServiceIdentities: [{ ServiceName: 'b' }] })
    const token = await writes.createToken({
      Roles: [{ Name: role.Name }],
      ServiceIdentities: [{ ServiceName: 'c', Datacenters: ['elsewhere'] }],
      TemplatedPolicies: [{ TemplateName: 'builtin/service', TemplateVariables: { Name: 'd' } }],
      NodeIdentities: [{ NodeName: 'n1', Datacenter: 'dc1' }],
    })
    expect(['a', 'b', 'b-sidecar-proxy', 'c', 'd', 'e'].map(name => can(token.SecretID, name))).toEqual([
      true,
      true,
      true,
      false,
      true,
      false,
    ])
    expect(resolver.resolve(token.SecretID)!.rules.allows('node', 'n1', 'write')).toBe(true)
  })

  it('a change of a policy counts from the next request on; a deleted one leaves its links with it', async () => {
    const policy = await writes.createPolicy({ Name: 'p', Rules: 'service "a" { policy = "write" }' })
    const role = await writes.createRole({ Name: 'r', Policies: [{ Name: 'p' }] })
    const token = await writes.createToken({ Roles: [{ ID: role.ID }] })
    expect(can(token.SecretID, 'a')).toBe(true)
    await writes.updatePolicy(policy.ID, { Name: 'p', Rules: 'service "a" { policy = "read" }' })
    expect(can(token.SecretID, 'a')).toBe(false)
    await writes.deletePolicy(policy.ID)
    expect(table.get('acl-role', role.ID)!.Policies).toEqual([])
    await writes.deleteRole(role.ID)
    expect(table.get('acl-token', token.AccessorID)!.Roles).toEqual([])
  })

  it('is found by its accessor in any case, and keeps it as it was given', async () => {
    const AccessorID = 'ABCDEF01-2222-3333-4444-55555555ABCD'
    const { SecretID } = await writes.createToken({ AccessorID })
    const lower = AccessorID.toLowerCase()
    await expect(writes.createToken({ AccessorID: lower })).rejects.toThrow('AccessorID is already in use')
    expect(await writes.updateToken(lower, { AccessorID: lower, Description: 'x' })).toMatchObject({
      AccessorID,
      Description: 'x',
      SecretID,
    })
    expect((await writes.cloneToken(lower, {})).Description).toBe('x')
    await open()
    expect(table.get('acl-token', lower)).toMatchObject({ AccessorID })
    expect(resolver.resolve(SecretID)?.accessorId).toBe(AccessorID)
    await expect(writes.deleteToken(lower, AccessorID)).rejects.toThrow("Deletion of the request's authorization token")
    await writes.deleteToken(lower)
    expect([table.get('acl-token', AccessorID), await store.get('acl-token', AccessorID)]).toEqual([undefined, undefined])
    expect(resolver.resolve(SecretID)).toBeUndefined()
  })

  it('nothing, once it is deleted, has expired, or was never there', async () => {
    const token = await writes.createToken({ ServiceIdentities: [{ ServiceName: 'a' }], ExpirationTTL: '1h' })
    expect(can(token.SecretID, 'a')).toBe(true)
    now += HOUR
    expect(resolver.resolve(token.SecretID)).toBeUndefined()
    expect(await writes.reap({ task: 'reaper', signal: new AbortController().signal })).toBe(1)
    expect(table.get('acl-token', token.AccessorID)).toBeUndefined()
    expect(resolver.resolve('b7f0a1de-0000-0000-0000-000000000000')).toBeUndefined()
  })

  it('without a secret, what the anonymous token has', async () => {
    expect(can(undefined, 'a')).toBe(false)
    await writes.updateToken(ANONYMOUS_ACCESSOR_ID, { ServiceIdentities: [{ ServiceName: 'a' }] })
    expect(can(undefined, 'a')).toBe(true)
    expect(can('', 'a')).toBe(true)
  })
})

describe('refused, and nothing changed', () => {
  it.each([
    [
      'a policy whose rules do not parse',
      () => writes.createPolicy({ Name: 'p', Rules: 'service "a" { policy = "x" }' }),
      'Failed to parse ACL rules',
    ],
    ['a policy without a name', () => writes.createPolicy({ Rules: '' }), 'Invalid Policy: no Name is set'],
    ['a policy with a strange name', () => writes.createPolicy({ Name: 'a b' }), "Only alphanumeric characters, a single '/', '-' and '_'"],
    ['a policy with two slashes', () => writes.createPolicy({ Name: 'a/b/c' }), "a single '/'"],
    ['the token that asks', () => writes.deleteToken('some', 'some'), "Deletion of the request's authorization token is not permitted"],
    ['a policy of a name that is taken', () => writes.createPolicy({ Name: 'global-management' }), 'already exists'],
    ['a change of a builtin policy', () => writes.updatePolicy(GLOBAL_MANAGEMENT_ID, { Rules: '' }), 'is not permitted'],
    ['the end of a builtin policy', () => writes.deletePolicy(GLOBAL_MANAGEMENT_ID), 'Delete operation not permitted'],
    ['the end of the anonymous token', () => writes.deleteToken(ANONYMOUS_ACCESSOR_ID), 'not permitted on the anonymous token'],
    [
      'a link to a policy that is not there',
      () => writes.createToken({ Policies: [{ Name: 'nope' }] }),
      'No such ACL policy with name "nope"',
    ],
    [
      'a service identity that would write rules',
      () => writes.createToken({ ServiceIdentities: [{ ServiceName: 'a" {}' }] }),
      'has an invalid name',
    ],
    ['an unknown field', () => writes.createToken({ Polices: [] }), 'unknown field "Polices"'],
    ['a namespace', () => writes.createToken({ Namespace: 'team' }), 'Consul Enterprise'],
    ['a life of a week', () => writes.createToken({ ExpirationTTL: '168h' }), 'cannot be more than 24h0m0s'],
    ['a life of a second', () => writes.createToken({ ExpirationTTL: '1s' }), 'cannot be less than 1m0s'],
    ['a secret of the caller’s own form', () => writes.createToken({ SecretID: 'hunter2' }), 'must be a UUID'],
    [
      'an auth method of a type nobody knows',
      () => writes.putMethod(undefined, { Name: 'm', Type: 'ldap' }),
      'no auth method found with type',
    ],
    ['a jwt method without keys', () => writes.putMethod(undefined, { Name: 'm', Type: 'jwt' }), 'exactly one of'],
    ['a rule for a method that is not there', () => writes.putBindingRule(undefined, { AuthMethod: 'm' }), 'cannot find auth method'],
  ])('%s', async (_what, attempt, reason) => {
    const before = store.index
    await expect((async () => attempt())()).rejects.toThrow(reason)
    expect(store.index).toBe(before)
  })
})

describe('login', () => {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const bearer = (claims: Record<string, unknown>, key = keys.privateKey): Promise<string> =>
    new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(key)
  const verified = {
    iss: 'https://ci',
    aud: 'mesh',
    iat: START / 1000,
    exp: START / 1000 + 600,
    repo: { name: 'web' },
    groups: ['ops', 'dev'],
  }
  let login: Login

  beforeEach(async () => {
    login = new Login({ table, writes, verifier: new IdentityVerifier(() => now), datacenter: 'dc1' })
    await writes.putMethod(undefined, {
      Name: 'ci',
      Type: 'jwt',
      MaxTokenTTL: '1h',
      Config: {
        JWTValidationPubKeys: [keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
        JWTSupportedAlgs: ['ES256'],
        BoundIssuer: 'https://ci',
        BoundAudiences: ['mesh'],
        ClaimMappings: { '/repo/name': 'repo' },
        ListClaimMappings: { groups: 'groups' },
      },
    })
    await writes.putBindingRule(undefined, {
      AuthMethod: 'ci',
      Selector: '"ops" in list.groups and value.repo != ""',
      BindType: 'service',
      // HCL's own template.
      BindName: ['$', '{value.repo}'].join(''),
    })
  })

  it('gives what the binding rules say, for as long as the method allows, and logout takes it back', async () => {
    const token = await login.login({ AuthMethod: 'ci', BearerToken: await bearer(verified) })
    expect(can(token.SecretID, 'web')).toBe(true)
    expect(token.ExpirationTime).toBe(new Date(START + HOUR).toISOString())
    expect(token.Local).toBe(true)
    await login.logout(table.tokenOfSecret(token.SecretID))
    expect(resolver.resolve(token.SecretID)).toBeUndefined()
  })

  it.each([
    ['another key', async () => bearer(verified, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey), 'Permission denied'],
    ['another issuer', async () => bearer({ ...verified, iss: 'https://evil' }), 'Permission denied'],
    ['another audience', async () => bearer({ ...verified, aud: 'else' }), 'Permission denied'],
    ['a token that has expired', async () => bearer({ ...verified, exp: START / 1000 - 600 }), 'Permission denied'],
    ['a token without any time', async () => bearer({ ...verified, exp: undefined, iat: undefined }), 'no issue time'],
    ['no rule that matches', async () => bearer({ ...verified, groups: ['dev'] }), 'Permission denied'],
    ['a name that is none of a service', async () => bearer({ ...verified, repo: { name: 'a" {}' } }), 'has an invalid name'],
    ['half a token', async () => (await bearer(verified)).slice(0, 40), 'Permission denied'],
  ])('is refused for %s', async (_what, token, reason) => {
    await expect(login.login({ AuthMethod: 'ci', BearerToken: await token() })).rejects.toThrow(reason)
    expect(table.list('acl-token').filter(({ AuthMethod }) => AuthMethod === 'ci')).toEqual([])
  })

  it('of a method that is deleted ends with it, its rules too', async () => {
    const token = await login.login({ AuthMethod: 'ci', BearerToken: await bearer(verified) })
    await writes.deleteMethod('ci')
    expect(resolver.resolve(token.SecretID)).toBeUndefined()
    expect(table.list('acl-binding-rule')).toEqual([])
  })

  it('logout is for tokens of a login', async () => {
    const token = await writes.createToken({})
    await expect(login.logout(token)).rejects.toThrow('token was not created via login')
  })
})
