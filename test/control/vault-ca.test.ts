// The CA's provider "vault" through what an operator uses: the agent's configuration file, the HTTP API and `connect ca set-config`.
import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAgentConfig } from '../../src/cli/agent-config/agent-config.js'
import { configuredOptions } from '../../src/cli/commands/control-options.js'
import { ControlPlane } from '../../src/control/control-plane.js'
import { heldClock } from '../../src/io/clock.js'
import { CliFixture, runCommand } from '../support/cli-fixture.js'
import { testIo } from '../support/command-io.js'
import { FakeVault } from '../support/fake-vault/fake-vault.js'

const cli = new CliFixture()
let vault: FakeVault
let plane: ControlPlane

beforeAll(async () => {
  vault = new FakeVault({ clock: heldClock })
  await vault.start()
  vault.logins.set('approle', { role_id: 'mesh', secret_id: 'the-secret-id' })
  const file = cli.file(
    'agent.hcl',
    `connect {
  ca_provider = "vault"
  ca_config {
    address               = "${vault.address}"
    root_pki_path         = "connect_root"
    intermediate_pki_path = "connect_inter"
    leaf_cert_ttl         = "24h"
    auth_method {
      type       = "approle"
      mount_path = "approle"
      params { role_id = "mesh", secret_id_file_path = "${cli.file('secret-id', 'the-secret-id\n')}" }
    }
  }
}
`,
  )
  const options = configuredOptions(loadAgentConfig({ configFile: [file], values: new Map() }, testIo()), testIo())
  plane = new ControlPlane({ ...options, httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', grpcTlsAddr: '127.0.0.1:0', nodeName: 'n' })
  await plane.start()
})

afterAll(async () => {
  await plane.stop()
  await vault.stop()
  await cli.stop()
  expect(vault.violations).toEqual([])
})

const call = async (method: string, path: string, body?: object): Promise<{ status: number; text: string }> => {
  const payload = body === undefined ? {} : { body: JSON.stringify(body) }
  const answer = await fetch(`http://${plane.httpAddress}${path}`, { method, ...payload })
  return { status: answer.status, text: await answer.text() }
}
const configuration = '/v1/connect/ca/configuration'

describe('a control plane whose CA is Vault', () => {
  it('has leaves signed there, its own TLS certificate too', async () => {
    const leaf = JSON.parse((await call('GET', '/v1/agent/connect/ca/leaf/web')).text)
    const [own, intermediate] = leaf.CertPEM.split(/(?<=-----END CERTIFICATE-----\n)/)
    const { certificate } = [...vault.pki.get('/connect_inter')!.issuers.values()].find(({ keyId }) => keyId !== undefined)!
    expect(intermediate).toBe(certificate.pem)
    expect(new X509Certificate(own).subjectAltName).toMatch(/^URI:spiffe:\/\/.*\/svc\/web$/)
    expect(vault.paths.filter(path => path.endsWith('/sign/leaf-cert'))).toHaveLength(2)
    const roots = JSON.parse((await call('GET', '/v1/connect/ca/roots')).text)
    expect(roots.Roots).toMatchObject([{ Name: 'Vault CA Primary Cert', Active: true }])
  })

  it('shows its configuration without secrets; what was read may be changed and written back', async () => {
    const shown = JSON.parse((await call('GET', configuration)).text)
    expect(shown).toMatchObject({
      Provider: 'vault',
      Config: { RootPKIPath: 'connect_root/', LeafCertTTL: '24h', AuthMethod: { Type: 'approle', MountPath: 'approle' } },
    })
    const { Provider, Config } = shown
    expect(await call('PUT', configuration, { Provider, Config: { ...Config, LeafCertTTL: '12h' } })).toMatchObject({ status: 200 })
    expect(vault.pki.get('/connect_inter')!.role!.max_ttl).toBe('43200s')
  })

  it('lets the API name no other file of this host', async () => {
    const { Provider, Config } = JSON.parse((await call('GET', configuration)).text)
    const answer = await call('PUT', configuration, { Provider, Config: { ...Config, CAFile: '/etc/shadow' } })
    expect(answer).toEqual({
      status: 403,
      text: expect.stringContaining('names paths of this host, which the API may do only with --ca-files-by-api'),
    })
  })

  it('changes to a token by command, and says in one line what Vault refuses', async () => {
    const config = (token: string): string =>
      cli.file(
        'ca.json',
        JSON.stringify({
          Provider: 'vault',
          Config: { Address: vault.address, Token: token, RootPKIPath: 'connect_root', IntermediatePKIPath: 'connect_inter' },
        }),
      )
    const set = (token: string) =>
      runCommand(['connect', 'ca', 'set-config', '--config-file', config(token)], { CONSUL_HTTP_ADDR: plane.httpAddress })
    const refused = await set('hvs.wrong-token')
    expect(refused.err).toMatch(/^outrigger: Vault: GET \S+: HTTP 403: 2 errors occurred: \* permission denied \* invalid token\n$/)
    expect(refused.err).not.toContain('hvs.wrong-token')
    expect((await set('root')).out).toBe('Configuration updated!\n')
    const shown = (await call('GET', configuration)).text
    expect(shown).not.toContain('Token')
    expect(vault.seen.at(-1)!.token).toBe('root')
  })
})
