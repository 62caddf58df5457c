// TLS of the control plane's own ports: certificates of the mesh's CA and of files, client certificates, and what a reload replaces.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createAgentCa, createAgentCertificate, type PemPair } from '../../src/control/certificates/agent-ca.js'
import type { ControlPlaneOptions } from '../../src/control/control-plane.js'
import type { ServerTls } from '../../src/control/port-tls.js'
import { CliFixture } from '../support/cli-fixture.js'

let fixture: CliFixture | undefined
afterEach(() => fixture?.stop())

async function start(options: ControlPlaneOptions): Promise<CliFixture> {
  fixture = new CliFixture({ httpsAddr: '127.0.0.1:0', grpcTlsAddr: '127.0.0.1:0', ...options })
  return fixture.start()
}

const newAgentCa = (): Promise<PemPair> => createAgentCa({ commonName: 'Test CA', days: 1 })
const issueServer = (ca: PemPair): Promise<PemPair> =>
  createAgentCertificate(ca, { dns: ['server.dc1.consul'], ips: ['127.0.0.1'], days: 1 })

const portOf = (address: string): number => Number(address.split(':').at(-1))

/** The serial number that the port shows, and the protocol spoken. */
function handshake(
  address: string,
  options: object = {},
): Promise<{ serial: string; protocol: string | null; alpn: string | false | null }> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: '127.0.0.1', port: portOf(address), rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'], ...options },
      () => {
        const serial = socket.getPeerCertificate().serialNumber
        resolve({ serial, protocol: socket.getProtocol(), alpn: socket.alpnProtocol })
        socket.destroy()
      },
    )
    socket.on('error', reject)
  })
}

describe('certificates of the mesh’s CA', () => {
  it('verify by the roots, for the names and addresses of this machine', async () => {
    const cli = await start({})
    const roots = cli.file('roots.pem', await cli.out('ca', 'roots', '--pem'))
    const at = (host: string): string => `https://${host}:${portOf(cli.plane.httpsAddress)}`
    for (const host of ['127.0.0.1', 'localhost'])
      expect(await cli.out('catalog', 'datacenters', '-http-addr', at(host), '-ca-file', roots)).toBe('dc1\n')
    const named = ['-http-addr', at('127.0.0.1'), '-ca-file', roots, '-tls-server-name']
    expect(await cli.out('catalog', 'datacenters', ...named, 'server.dc1.consul')).toBe('dc1\n')
    expect(await cli.call('catalog', 'datacenters', ...named, 'elsewhere')).toMatchObject({
      code: 1,
      err: expect.stringContaining('elsewhere'),
    })
    expect(await cli.call('catalog', 'datacenters', '-http-addr', at('127.0.0.1'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('--ca-file or CONSUL_CACERT names its CA'),
    })
    expect((await handshake(cli.plane.grpcTlsAddress)).alpn).toBe('h2')
  })

  it('are found by the commands in Consul’s environment variables', async () => {
    const cli = await start({})
    const roots = cli.file('roots.pem', await cli.out('ca', 'roots', '--pem'))
    cli.env = { CONSUL_HTTP_ADDR: cli.plane.httpsAddress, CONSUL_HTTP_SSL: 'true', CONSUL_CACERT: roots }
    expect(await cli.out('catalog', 'datacenters')).toBe('dc1\n')
    cli.env = { CONSUL_HTTP_ADDR: cli.plane.httpsAddress, CONSUL_HTTP_SSL: 'true', CONSUL_HTTP_SSL_VERIFY: 'false' }
    expect(await cli.out('catalog', 'datacenters')).toBe('dc1\n')
    cli.env = { CONSUL_HTTP_ADDR: cli.plane.httpsAddress, CONSUL_HTTP_SSL: 'true', CONSUL_CAPATH: cli.folder }
    expect(await cli.out('catalog', 'datacenters')).toBe('dc1\n')
  })

  it('stand in bootstraps and in the addresses that the agent tells', async () => {
    const cli = await start({})
    await cli.out('services', 'register', cli.file('web.json', JSON.stringify({ Name: 'web', Port: 1, Connect: { SidecarService: {} } })))
    const bootstrap = await cli.out('bootstrap', '--proxy-id', 'web-sidecar-proxy')
    expect(bootstrap).toContain('BEGIN CERTIFICATE')
    expect(bootstrap).toContain(String(portOf(cli.plane.grpcTlsAddress)))
    const self = (await (await fetch(`http://${cli.plane.httpAddress}/v1/agent/self`)).json()) as { xDS: { Ports: object } }
    expect(self.xDS.Ports).toEqual({ Plaintext: portOf(cli.plane.grpcAddress), TLS: portOf(cli.plane.grpcTlsAddress) })
  })

  it('are issued anew after the root has been replaced', async () => {
    const cli = await start({})
    const before = await handshake(cli.plane.httpsAddress)
    await cli.out('ca', 'rotate-root')
    await expect.poll(async () => (await handshake(cli.plane.httpsAddress)).serial).not.toBe(before.serial)
  })
})

describe('certificates of files', () => {
  let ca: PemPair
  beforeAll(async () => {
    ca = await newAgentCa()
  })

  it('are shown, and replaced by a reload without a restart', async () => {
    let tls: ServerTls = { ...(await issueServer(ca)), caPem: ca.certPem }
    const cli = await start({ configured: () => ({ tls: { https: tls, grpc: tls } }) })
    const caFile = cli.file('ca.pem', ca.certPem)
    const argv = ['catalog', 'datacenters', '-http-addr', `https://${cli.plane.httpsAddress}`, '-ca-file', caFile]
    expect(await cli.out(...argv)).toBe('dc1\n')
    const before = [await handshake(cli.plane.httpsAddress), await handshake(cli.plane.grpcTlsAddress)]
    tls = { ...(await issueServer(ca)), caPem: ca.certPem }
    await cli.out('reload')
    const after = [await handshake(cli.plane.httpsAddress), await handshake(cli.plane.grpcTlsAddress)]
    expect(after[0]!.serial).not.toBe(before[0]!.serial)
    expect(after[1]!.serial).toBe(after[0]!.serial)
    tls = { certPem: tls.certPem!, keyPem: (await issueServer(ca)).keyPem }
    expect(await cli.call('reload')).toMatchObject({ code: 1, err: expect.stringContaining('the certificate and its key cannot be used') })
    expect((await handshake(cli.plane.httpsAddress)).serial).toBe(after[0]!.serial)
  })

  it('let in only clients that show one of the CA, where that is asked for', async () => {
    const tls: ServerTls = { ...(await issueServer(ca)), clientCaPem: ca.certPem, minVersion: 'TLSv1.3' }
    const cli = await start({ configured: () => ({ tls: { https: tls, grpc: tls } }) })
    const client = await issueServer(ca)
    const argv = ['catalog', 'datacenters', '-http-addr', `https://${cli.plane.httpsAddress}`, '-ca-file', cli.file('ca.pem', ca.certPem)]
    expect(await cli.call(...argv)).toMatchObject({ code: 1, err: expect.stringContaining('cannot reach the control plane') })
    const own = ['-client-cert', cli.file('client.pem', client.certPem), '-client-key', cli.file('client.key', client.keyPem)]
    expect(await cli.out(...argv, ...own)).toBe('dc1\n')
    const stranger = await issueServer(await newAgentCa())
    writeFileSync(join(cli.folder, 'client.pem'), stranger.certPem)
    writeFileSync(join(cli.folder, 'client.key'), stranger.keyPem)
    expect((await cli.call(...argv, ...own)).code).toBe(1)
    await expect(handshake(cli.plane.httpsAddress, { maxVersion: 'TLSv1.2' })).rejects.toThrow()
  })
})

describe('addresses beyond loopback', () => {
  const refused = (options: ControlPlaneOptions) => {
    fixture = new CliFixture(options)
    return expect(fixture.plane.start()).rejects
  }

  it.each<[ControlPlaneOptions, RegExp]>([
    [{ httpAddr: '0.0.0.0:0' }, /^--http-addr 0\.0\.0\.0:0: .* needs --acl \(or a token\) and TLS \(--https-addr\); --allow-open/],
    [{ httpAddr: '0.0.0.0:0', httpToken: 'x' }, /^--http-addr .* needs TLS/],
    [{ httpsAddr: '0.0.0.0:0' }, /^--https-addr .* needs --acl \(or a token\);/],
    [{ grpcAddr: '0.0.0.0:0', acl: { defaultPolicy: 'deny' } }, /^--grpc-addr .* needs TLS/],
    [{ grpcTlsAddr: '0.0.0.0:0', acl: { defaultPolicy: 'allow' } }, /^--grpc-tls-addr .* needs --acl/],
    [{ httpAddr: 'off' }, /^--http-addr and --https-addr are both off/],
  ])('%j are refused by name', async (options, message) => {
    await refused(options).toThrow(message)
  })

  it.each<ControlPlaneOptions>([
    { httpAddr: '0.0.0.0:0', allowOpen: true },
    { httpsAddr: '0.0.0.0:0', grpcTlsAddr: '0.0.0.0:0', acl: { defaultPolicy: 'deny' } },
    { httpAddr: 'off', grpcAddr: 'off', httpsAddr: '0.0.0.0:0', httpToken: 'secret' },
  ])('%j are served', async options => {
    const cli = await start(options)
    expect(cli.plane.httpsAddress === '').toBe(false)
  })
})
