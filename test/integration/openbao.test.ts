// The CA's provider and the secrets against a real OpenBao in its development mode, where OPENBAO_BIN names one: what the fake of the other tests
// can't tell. The control plane's role has the rights that docs/vault.md asks for, and no others.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/io/clock.js'
import { CertificateAuthority } from '../../src/mtls/ca/authority.js'
import { type CaConfig, decodeCaConfig } from '../../src/mtls/ca/config.js'
import { serviceSpiffeId } from '../../src/mtls/spiffe.js'
import { certificatePems } from '../../src/mtls/x509/der.js'
import { readCertificate } from '../../src/mtls/x509/x509.js'
import { fieldOf, type KvReference, parseKvReference, readEdition, readSecret } from '../../src/vault/kv-secrets.js'
import { VaultSession } from '../../src/vault/vault-session.js'
import { NO_TLS } from '../../src/vault/vault-settings.js'
import { handshake, MemoryCaStore, type Party, testConfig, trusted } from '../mtls/ca/support.js'
import { freePort } from '../support/port-range.js'

const BINARY = process.env['OPENBAO_BIN']
const ROOT_TOKEN = 'root-of-the-test'
/** What its PKI engine warns of for any mount that issues an intermediate CA of the mesh. */
const OF_EVERY_MOUNT = /hasn't configured any authority information access \(AIA\) fields|Max path length of the signed certificate is zero/

describe.skipIf(BINARY === undefined)('a real OpenBao (OPENBAO_BIN)', () => {
  let bao: ChildProcess
  let address = ''
  let roleId = ''
  let secretId = ''
  const problems: string[] = []

  async function call(method: string, path: string, body?: object): Promise<{ readonly data?: Record<string, string> }> {
    const payload = body === undefined ? {} : { body: JSON.stringify(body) }
    const answer = await fetch(`${address}/v1/${path}`, { method, headers: { 'x-vault-token': ROOT_TOKEN }, ...payload })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? {} : JSON.parse(text)
  }

  beforeAll(async () => {
    const port = await freePort()
    address = `http://127.0.0.1:${port}`
    const flags = ['-dev', `-dev-root-token-id=${ROOT_TOKEN}`, `-dev-listen-address=127.0.0.1:${port}`, '-dev-no-store-token']
    bao = spawn(BINARY!, ['server', ...flags], { stdio: 'ignore' })
    for (;;) {
      const ready = await fetch(`${address}/v1/sys/health`).then(
        answer => answer.ok,
        () => false,
      )
      if (ready) break
      if (bao.exitCode !== null) throw new Error(`bao server ended with ${bao.exitCode}`)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    // The rights of docs/vault.md, with a second root mount for the rotation.
    const page = readFileSync(new URL('../../docs/vault.md', import.meta.url), 'utf8')
    const rights = page
      .split('```hcl\n')
      .find(block => block.startsWith('path "sys/mounts/connect_root"'))!
      .split('```')[0]!
    const second = rights
      .replaceAll('connect_root', 'connect_root_2')
      .replaceAll(/^path "(connect_inter|sys\/mounts\/connect_inter|auth).*\n/gm, '')
    await call('POST', 'sys/policies/acl/mesh', {
      policy: `${rights}${second}path "secret/data/gateways/*" { capabilities = ["read"] }\npath "secret/metadata/gateways/*" { capabilities = ["read"] }\n`,
    })
    await call('POST', 'sys/auth/approle', { type: 'approle' })
    await call('POST', 'auth/approle/role/mesh', { token_policies: 'mesh', token_ttl: '10m' })
    roleId = (await call('GET', 'auth/approle/role/mesh/role-id')).data!['role_id']!
    secretId = (await call('POST', 'auth/approle/role/mesh/secret-id', {})).data!['secret_id']!
  })

  afterAll(async () => {
    bao.kill()
    if (bao.exitCode === null) await once(bao, 'exit')
  })

  function config(fields: Record<string, unknown> = {}): CaConfig {
    const decoded = decodeCaConfig({
      Provider: 'vault',
      Config: {
        Address: address,
        AuthMethod: { Type: 'approle', Params: { role_id: roleId, secret_id: secretId } },
        RootPKIPath: 'connect_root',
        IntermediatePKIPath: 'connect_inter',
        CSRMaxPerSecond: 0,
        ...fields,
      },
    })
    if (!decoded.ok) throw new Error(JSON.stringify(decoded.problems))
    return decoded.config
  }

  it('is root, intermediate and signer of the mesh, and hands over in every direction without an outage', async () => {
    const store = new MemoryCaStore()
    const open = async (): Promise<CertificateAuthority> => {
      const ca = new CertificateAuthority({ store, config: config(), onProblem: reason => problems.push(reason) })
      await ca.init()
      return ca
    }
    let ca = await open()
    const party = async (): Promise<Party> => {
      const uri = serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: 'dc1', service: 'web' })
      const leaf = await ca.signer.issue({ uri, dnsSans: ['*.ingress.consul', 'a_b.example'], ipSans: ['127.0.0.1', '::1'] })
      return { leaf, bundlePem: ca.trustBundlePem() }
    }
    const trustEachOther = async (a: Party, b: Party): Promise<void> => {
      expect(await handshake(a, b)).toEqual(trusted)
      expect(await handshake(b, a)).toEqual(trusted)
    }
    const first = await party()
    const [leaf, intermediate] = certificatePems(first.leaf.chainPem).map(readCertificate)
    expect(leaf!.x509.subject || undefined).toBeUndefined()
    expect(leaf!.names.uris).toEqual([serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: 'dc1', service: 'web' })])
    expect(leaf!.names.dns).toEqual(['*.ingress.consul', 'a_b.example'])
    expect([...leaf!.x509.keyUsage].sort()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(intermediate!.pathLength).toBe(0)
    expect(intermediate!.names.uris).toEqual([`spiffe://${ca.trustDomain}`])
    expect(readCertificate(ca.trustBundlePem()).names.uris).toEqual([`spiffe://${ca.trustDomain}`])
    await ca.close()
    ca = await open()
    await trustEachOther(first, await party())
    await ca.updateConfig(config({ LeafCertTTL: '2h' }))
    expect(ca.roots().Roots).toHaveLength(1)
    await ca.updateConfig(config({ RootPKIPath: 'connect_root_2' }))
    const second = await party()
    await trustEachOther(first, second)
    await ca.updateConfig(testConfig)
    const builtin = await party()
    await trustEachOther(second, builtin)
    await ca.updateConfig(config())
    await trustEachOther(builtin, await party())
    await ca.close()
    expect(problems.filter(problem => !OF_EVERY_MOUNT.test(problem))).toEqual([])
  })

  it('gives secrets of its KV engine by version, and denies others', async () => {
    const login = { kind: 'approle', mountPath: 'approle', roleId, roleIdFile: '', secretId, secretIdFile: '' } as const
    const session = new VaultSession({
      settings: { address, namespace: '', tls: NO_TLS, login },
      clock: systemClock,
      onProblem: reason => problems.push(reason),
    })
    const reference = parseKvReference('vault://secret/data/gateways/shop#key') as KvReference
    await expect(readSecret(session, reference)).rejects.toThrow('Vault has no secret at secret/data/gateways/shop')
    await call('POST', 'secret/data/gateways/shop', { data: { key: 'one' } })
    const secret = await readSecret(session, reference)
    expect(fieldOf(secret, reference)).toBe('one')
    await call('POST', 'secret/data/gateways/shop', { data: { key: 'two' } })
    const next = await readSecret(session, reference)
    expect([await readEdition(session, reference), next.edition !== secret.edition]).toEqual([next.edition, true])
    // Its versions begin anew; that it is another one shows all the same.
    await call('DELETE', 'secret/metadata/gateways/shop')
    for (const key of ['three', 'four']) await call('POST', 'secret/data/gateways/shop', { data: { key } })
    expect(await readEdition(session, reference)).not.toBe(next.edition)
    const other = parseKvReference('vault://secret/data/other#key') as KvReference
    await expect(readSecret(session, other)).rejects.toThrow(/HTTP 403: .*permission denied/)
    session.close()
  })
})
