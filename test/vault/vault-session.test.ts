import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { VaultSession } from '../../src/vault/vault-session.js'
import { NO_TLS, type VaultLogin, type VaultSettings } from '../../src/vault/vault-settings.js'
import { FakeVault, type FakeVaultOptions } from '../support/fake-vault/fake-vault.js'
import { ImpatientClock } from '../support/fake-vault/impatient-clock.js'
import { ManualClock } from '../support/manual-clock.js'
import { meshCertificates } from './tls-files.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-vault-'))
let vaults: FakeVault[] = []
let sessions: VaultSession[] = []
let problems: string[] = []

beforeEach(() => {
  vaults = []
  sessions = []
  problems = []
})

afterEach(async () => {
  for (const session of sessions) session.close()
  for (const vault of vaults) await vault.stop()
  expect(vaults.flatMap(vault => vault.violations)).toEqual([])
})

async function startVault(options: Partial<FakeVaultOptions> & { clock: ManualClock }): Promise<FakeVault> {
  const vault = new FakeVault(options)
  await vault.start()
  vaults.push(vault)
  vault.mountKv('secret')
  vault.putSecret('secret', 'app', { word: 'one' })
  vault.logins.set('approle', { role_id: 'role-one', secret_id: 'secret-one' })
  vault.logins.set('kubernetes', { role: 'mesh', jwt: 'service-account-jwt' })
  vault.logins.set('team/jwt', { role: 'mesh', jwt: 'a-jwt-of-the-platform' })
  return vault
}

function open(vault: { address: string }, login: VaultLogin, clock: ManualClock, settings: Partial<VaultSettings> = {}): VaultSession {
  const session = new VaultSession({
    settings: { address: vault.address, namespace: '', tls: NO_TLS, login, ...settings },
    clock,
    onProblem: reason => problems.push(reason),
  })
  sessions.push(session)
  return session
}

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const word = async (session: VaultSession): Promise<unknown> => {
  const answer = await session.read('secret/data/app')
  return (answer?.data['data'] as { word?: unknown } | undefined)?.word
}

const appRole: VaultLogin = {
  kind: 'approle',
  mountPath: 'approle',
  roleId: 'role-one',
  roleIdFile: '',
  secretId: 'secret-one',
  secretIdFile: '',
}

/** The timeout of a request that is under way, while the clock stands. */
const REQUEST_TIMEOUT_MS = 10_000

/** The renewal that the clock has set off has come to Vault, and its answer to the session. */
async function settled(vault: FakeVault, clock: ManualClock, path: string, count: number): Promise<void> {
  const isAnswered = (): boolean => vault.paths.filter(each => each === path).length >= count && !clock.delays.includes(REQUEST_TIMEOUT_MS)
  do await new Promise(resolve => setImmediate(resolve))
  while (!isAnswered())
}

describe('login', () => {
  it('by AppRole, Kubernetes and JWT, each at its mount', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    expect(await word(open(vault, appRole, clock))).toBe('one')
    const tokenFile = file('sa-token', 'service-account-jwt\n')
    expect(await word(open(vault, { kind: 'kubernetes', mountPath: 'kubernetes', role: 'mesh', tokenFile }, clock))).toBe('one')
    const jwt: VaultLogin = { kind: 'jwt', mountPath: 'team/jwt', role: 'mesh', jwt: 'a-jwt-of-the-platform', jwtFile: '' }
    expect(await word(open(vault, jwt, clock))).toBe('one')
    expect(vault.paths.filter(path => path.includes('login'))).toEqual([
      'POST auth/approle/login',
      'POST auth/kubernetes/login',
      'POST auth/team/jwt/login',
    ])
  })

  it('reads its files anew each time, so that a replaced secret id is used', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock, leaseS: 600, renewable: false })
    const login: VaultLogin = {
      ...appRole,
      roleId: '',
      roleIdFile: file('role', 'role-one'),
      secretId: '',
      secretIdFile: file('secret', 'secret-one'),
    }
    const session = open(vault, login, clock)
    expect(await word(session)).toBe('one')
    file('secret', 'secret-two\n')
    vault.logins.set('approle', { role_id: 'role-one', secret_id: 'secret-two' })
    clock.advance(400_000)
    await settled(vault, clock, 'POST auth/approle/login', 2)
    expect(await word(session)).toBe('one')
    expect(vault.seen.at(-1)!.token).toBe('hvs.granted-2')
  })

  it('is made once for requests that come together', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    const session = open(vault, appRole, clock)
    await Promise.all([word(session), word(session), word(session)])
    expect(vault.paths.filter(path => path.includes('login'))).toHaveLength(1)
  })

  it('names the file that is not there', async () => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    const session = open(vault, { ...appRole, secretId: '', secretIdFile: join(folder, 'nowhere') }, clock)
    await expect(word(session)).rejects.toThrow(`${join(folder, 'nowhere')}`)
  })

  it('that is refused says why, and repeats no secret', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    const session = open(vault, { ...appRole, secretId: 'wrong-and-secret' }, clock)
    await expect(word(session)).rejects.toThrow(/^Vault: POST auth\/approle\/login: HTTP 400: invalid secret_id: \(secret\)$/)
  })
})

describe('the token', () => {
  it('is renewed at two thirds of its lease, again and again', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock, leaseS: 600 })
    const session = open(vault, appRole, clock)
    await word(session)
    for (let round = 1; round <= 3; round++) {
      clock.advance(399_000)
      expect(vault.paths.filter(path => path === 'POST auth/token/renew-self')).toHaveLength(round - 1)
      clock.advance(1_000)
      await settled(vault, clock, 'POST auth/token/renew-self', round)
    }
    expect(await word(session)).toBe('one')
    expect(vault.paths.filter(path => path.includes('login'))).toHaveLength(1)
    expect(problems).toEqual([])
  })

  it('is replaced by a new login near the end of its longest life', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock, leaseS: 600, maxLifeS: 900 })
    const session = open(vault, appRole, clock)
    await word(session)
    clock.advance(400_000)
    await settled(vault, clock, 'POST auth/token/renew-self', 1)
    clock.advance(400_000)
    await settled(vault, clock, 'POST auth/approle/login', 2)
    expect(await word(session)).toBe('one')
    expect(problems).toEqual([])
  })

  it('given by configuration is looked up and renewed; one that is not renewable is told of', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    vault.addToken('hvs.periodic', 600, { renewable: true })
    vault.addToken('hvs.short', 600, { renewable: false })
    const session = open(vault, { kind: 'token', token: 'hvs.periodic' }, clock)
    const short = open(vault, { kind: 'token', token: 'hvs.short' }, clock)
    await word(session)
    await word(short)
    clock.advance(400_000)
    await settled(vault, clock, 'POST auth/token/renew-self', 1)
    expect(problems).toEqual(['the token of the configuration is not renewable and ends in 200 s: give another one'])
    clock.advance(300_000)
    expect(await word(session)).toBe('one')
    await expect(word(short)).rejects.toThrow(/HTTP 403: .*permission denied/)
    expect(vault.paths.filter(path => path === 'GET auth/token/lookup-self')).toHaveLength(3)
  })

  it('that may not look itself up is used all the same', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    vault.addToken('hvs.narrow', 600, { renewable: true })
    vault.denied = /lookup-self/
    expect(await word(open(vault, { kind: 'token', token: 'hvs.narrow' }, clock))).toBe('one')
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/the token is used as it is and will not be renewed$/)
    expect(problems[0]).not.toContain('hvs.narrow')
  })

  it('that was revoked is replaced at the next request, a denied path is not asked for again and again', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    const session = open(vault, appRole, clock)
    await word(session)
    vault.tokens.delete('hvs.granted-1')
    clock.advance(60_000)
    expect(await word(session)).toBe('one')
    expect(vault.seen.at(-1)!.token).toBe('hvs.granted-2')
    vault.denied = /^secret\/data\/other/
    await expect(session.read('secret/data/other')).rejects.toMatchObject({ status: 403 })
    await expect(session.read('secret/data/other')).rejects.toMatchObject({ status: 403 })
    expect(vault.paths.filter(path => path.includes('login'))).toHaveLength(2)
  })

  it('that is good is kept where a path is denied, however often: each login would leave a token behind', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    const session = open(vault, appRole, clock)
    await word(session)
    vault.denied = /^secret\/data\/other/
    for (let round = 0; round < 3; round++) {
      clock.advance(60_000)
      await Promise.all([1, 2].map(() => expect(session.read('secret/data/other')).rejects.toMatchObject({ status: 403 })))
    }
    expect(vault.paths.filter(path => path.includes('login'))).toHaveLength(1)
    expect(vault.paths.filter(path => path.includes('lookup-self')).length).toBeLessThanOrEqual(6)
    expect(await word(session)).toBe('one')
  })

  it('is used on while its successor is refused, which is told once', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock, leaseS: 600, renewable: false })
    const session = open(vault, appRole, clock)
    await word(session)
    const login = vault.logins.get('approle')!
    vault.logins.delete('approle')
    clock.advance(400_000)
    await settled(vault, clock, 'POST auth/approle/login', 2)
    expect(await word(session)).toBe('one')
    clock.advance(5_000)
    await settled(vault, clock, 'POST auth/approle/login', 3)
    expect(problems).toEqual(['the token could not be renewed: Vault: POST auth/approle/login: HTTP 403: permission denied'])
    vault.logins.set('approle', login)
    clock.advance(5_000)
    await settled(vault, clock, 'POST auth/approle/login', 4)
    expect(await word(session)).toBe('one')
    expect(vault.seen.at(-1)!.token).toBe('hvs.granted-2')
  })

  it('from a file that somebody else keeps fresh is read again', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    vault.addToken('hvs.first', 600, { renewable: false })
    vault.addToken('hvs.second', 0, { renewable: false })
    const session = open(vault, { kind: 'token-file', path: file('token', 'hvs.first\n') }, clock)
    await word(session)
    file('token', 'hvs.second\n')
    clock.advance(600_000)
    expect(await word(session)).toBe('one')
    expect(vault.seen.at(-1)!.token).toBe('hvs.second')
  })
})

describe('a request', () => {
  it('carries the namespace of the settings, or its own', async () => {
    const clock = new ManualClock()
    const vault = await startVault({ clock })
    const session = open(vault, { kind: 'token', token: 'root' }, clock, { namespace: 'team-a' })
    await session.read('secret/data/app')
    await session.read('secret/data/app', { namespace: 'team-b' })
    expect(vault.seen.map(({ namespace }) => namespace)).toEqual(['team-a', 'team-a', 'team-b'])
  })

  it.each([
    [429, 'too many requests, or a standby node'],
    [472, 'a replication secondary'],
    [473, 'a performance standby'],
    [500, ''],
    [502, ''],
  ])('is tried again after HTTP %i', async (status, meaning) => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    const session = open(vault, { kind: 'token', token: 'root' }, clock)
    await word(session)
    vault.faults.push({ status, headers: { 'retry-after': '2' } }, { status })
    expect(await word(session)).toBe('one')
    expect(clock.waits).toEqual([2_000, 1_000])
    vault.faults.push({ status }, { status }, { status })
    await expect(word(session)).rejects.toThrow(`Vault: GET secret/data/app: HTTP ${status}${meaning === '' ? '' : ` (${meaning})`}`)
  })

  it('to a sealed Vault fails by that name, and succeeds once it is unsealed', async () => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    const session = open(vault, { kind: 'token', token: 'root' }, clock)
    vault.sealed = true
    await expect(word(session)).rejects.toThrow('Vault: GET auth/token/lookup-self: HTTP 503 (sealed or in maintenance): Vault is sealed')
    vault.sealed = false
    expect(await word(session)).toBe('one')
  })

  it('is not tried again where it is denied or wrong', async () => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    const session = open(vault, { kind: 'token', token: 'root' }, clock)
    await word(session)
    vault.faults.push({ status: 400, body: '{"errors":["unknown role"]}' })
    await expect(word(session)).rejects.toThrow('HTTP 400: unknown role')
    expect(clock.waits).toEqual([])
  })

  it('follows a standby to the active node, never in circles, never out of TLS', async () => {
    const clock = new ImpatientClock()
    const active = await startVault({ clock })
    const standby = await startVault({ clock })
    standby.activeNode = active.address
    expect(await word(open(standby, { kind: 'token', token: 'root' }, clock))).toBe('one')
    standby.activeNode = standby.address
    await expect(word(open(standby, { kind: 'token', token: 'root' }, clock))).rejects.toThrow('more than 2 redirects')
    const tls = await meshCertificates(folder)
    const secure = await startVault({ clock, tls: tls.server })
    secure.activeNode = active.address
    const trusting = open(secure, { kind: 'token', token: 'root' }, clock, { tls: { ...NO_TLS, caFile: tls.caFile } })
    await expect(word(trusting)).rejects.toThrow('it redirects from https to http, which is not followed')
  })

  it('ends when no answer comes', async () => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    vault.silent = true
    const answer = word(open(vault, { kind: 'token', token: 'root' }, clock)).catch((error: Error) => error.message)
    for (let tries = 1; tries <= 3; tries++) {
      while (vault.seen.length < tries) await new Promise(resolve => setTimeout(resolve, 1))
      clock.advance(10_000)
    }
    expect(await answer).toBe('Vault: GET auth/token/lookup-self: no whole answer within 10 s')
  })

  it('takes no answer larger than a megabyte, and none that is no JSON', async () => {
    const clock = new ImpatientClock()
    const vault = await startVault({ clock })
    const session = open(vault, { kind: 'token', token: 'root' }, clock)
    await word(session)
    const large = { status: 200, body: `{"data":"${'x'.repeat(1024 * 1024)}"}` }
    vault.faults.push(large, large, large)
    await expect(word(session)).rejects.toThrow('the answer is larger than 1048576 bytes')
    vault.faults.push({ status: 200, body: '<html>' })
    await expect(word(session)).rejects.toThrow('the answer is no JSON object')
  })

  it('checks the certificate of Vault, by a file or folder, under another name, and shows its own', async () => {
    const clock = new ImpatientClock()
    const tls = await meshCertificates(folder)
    const vault = await startVault({ clock, tls: { ...tls.server, requestCert: true, rejectUnauthorized: true } })
    const own = { certFile: tls.clientCertFile, keyFile: tls.clientKeyFile }
    const login: VaultLogin = { kind: 'token', token: 'root' }
    expect(await word(open(vault, login, clock, { tls: { ...NO_TLS, ...own, caFile: tls.caFile } }))).toBe('one')
    expect(await word(open(vault, login, clock, { tls: { ...NO_TLS, ...own, caPath: tls.caPath } }))).toBe('one')
    expect(await word(open(vault, login, clock, { tls: { ...NO_TLS, ...own, skipVerify: true } }))).toBe('one')
    const named = { ...NO_TLS, ...own, caFile: tls.caFile, serverName: 'vault.example' }
    expect(await word(open(vault, login, clock, { tls: named }))).toBe('one')
    await expect(word(open(vault, login, clock, { tls: { ...named, serverName: 'other.example' } }))).rejects.toThrow(
      /does not match|Hostname/,
    )
    await expect(word(open(vault, login, clock, { tls: { ...NO_TLS, ...own } }))).rejects.toThrow(/self-signed|unable to/)
    await expect(word(open(vault, login, clock, { tls: { ...NO_TLS, caFile: tls.caFile } }))).rejects.toThrow(/Vault: GET auth/)
  })
})
