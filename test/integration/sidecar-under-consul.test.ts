// `outrigger sidecar`: consul-dataplane's job and the proxy in one process, as a real one beside our control plane: in the open and with ACLs and
// TLS, DNS, merged metrics, beginning and end; beside the unmodified consul-dataplane where it is (DATAPLANE_BIN): the same bootstrap.
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONSUL_TARGET } from '../../src/dataplane/dataplane.js'
import { readBootstrap } from '../../src/sidecar/sidecar.js'
import { type Dataplane, type DataplaneOptions, dataplaneBin } from '../support/dataplane.js'
import { CiLogins, DataplaneMesh, dnsAnswer, MANAGEMENT, untilDns } from '../support/dataplane-mesh.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, until } from '../support/proxy-process.js'

const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const program = 'outrigger sidecar'

const page = async (url: string): Promise<[number, string]> => {
  const response = await fetch(url)
  return [response.status, await response.text()]
}

describe('outrigger sidecar, in the open', () => {
  const mesh = new DataplaneMesh({})
  const plain = ['-tls-disabled']
  const app = new HttpOrigin()
  let scrapePort = 0
  let api: Dataplane
  let web: Dataplane
  const start = (options: Omit<DataplaneOptions, 'grpcAddress' | 'program'>): Promise<Dataplane> => mesh.dataplane({ program, ...options })

  beforeAll(async () => {
    await mesh.start()
    await app.listen()
    app.respond = (_request, socket) => socket.write(http('# HELP jobs_done Jobs.\njobs_done 7'))
    scrapePort = await freePort()
    const Config = {
      envoy_prometheus_bind_addr: `127.0.0.1:${scrapePort}`,
      envoy_stats_tags: ['team=mesh'],
      envoy_stats_flush_interval: '30s',
    }
    await mesh.put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config, AccessLogs: { Enabled: true } })
    const flags = [
      ...plain,
      '-telemetry-prom-service-metrics-url',
      `http://127.0.0.1:${app.port}/metrics`,
      '-telemetry-prom-scrape-path',
      '/all',
    ]
    // Only one of them can have the scraped address.
    api = await start({ proxyId: 'api-sidecar-proxy', flags: [...plain, '-telemetry-use-central-config=false'] })
    web = await start({
      proxyId: 'web-sidecar-proxy',
      flags: [...flags, '-startup-grace-period-seconds', '30', '--', '--concurrency', '2'],
    })
  })
  afterAll(async () => {
    await mesh.stop()
    await app.close()
  })

  it('answers through both, one of them by two processes', async () => {
    expect(await until('its pages', () => page(`http://127.0.0.1:${web.lifecyclePort}/graceful_startup`))).toEqual([200, ''])
    await mesh.answers(api, web)
  })

  it('answers DNS, by UDP and by TCP, and a server that is asked nonsense answers nothing', async () => {
    await untilDns(web, 'api.service.consul', '127.0.0.1')
    expect(await dnsAnswer(web.dnsPort, 'nobody.service.consul')).toBe('ENOTFOUND')
  })

  it("serves its own, the proxy's and the service's metrics as one page, through the proxy's listener", async () => {
    const [status, text] = await page(`http://127.0.0.1:${scrapePort}/all?usedonly`)
    expect(status).toBe(200)
    expect(text).toContain('consul_dataplane_consul_connected 1')
    expect(text).toContain('consul_dataplane_envoy_connected 1')
    expect(text).toMatch(/^envoy_server_live\{.*team="mesh".*\} 1$/m)
    expect(text).toMatch(/jobs_done 7\n$/)
    expect((await page(`http://127.0.0.1:${web.metricsPort}/other`))[0]).toBe(404)
  })

  it('says which part of it is missing, and serves no half', async () => {
    await app.close()
    const [status, text] = await page(`http://127.0.0.1:${web.metricsPort}/stats/prometheus`)
    expect([status, text]).toEqual([500, expect.stringMatching(/^failed to scrape metrics at url "http:\/\/127\.0\.0\.1:\d+\/metrics": /)])
  })

  it('says whether the proxy is ready', () => {
    const ask = (port: number) =>
      spawnSync(process.execPath, [outriggerBin, 'sidecar', '-check-proxy-health', '-envoy-admin-bind-port', String(port)], {
        encoding: 'utf8',
      })
    expect(ask(web.adminPort)).toMatchObject({ status: 0, stdout: 'the proxy is ready\n' })
    expect(ask(web.lifecyclePort)).toMatchObject({ status: 1, stderr: expect.stringMatching(/^outrigger: the proxy is not ready: /) })
  })

  it.skipIf(dataplaneBin === undefined)('runs by the bootstrap that consul-dataplane writes (needs DATAPLANE_BIN)', async () => {
    const [executable, written] = [join(mesh.dir, 'envoy'), join(mesh.dir, 'bootstrap.json')]
    writeFileSync(executable, `#!/bin/sh\nwhile [ "$1" != --config-yaml ]; do shift; done\nprintf %s "$2" > ${written}\n`)
    chmodSync(executable, 0o755)
    const ready = ['-envoy-ready-bind-address', '127.0.0.1', '-envoy-ready-bind-port', String(await freePort())]
    const flags = [...plain, ...ready, '-telemetry-prom-scrape-path', '/all']
    const theirs = await mesh.dataplane({ proxyId: 'web-sidecar-proxy', executable, flags })
    await theirs.end()
    // Its address for Prometheus is free again.
    await web.stop()
    const ports = ['-telemetry-prom-merge-port', theirs.metricsPort, '-envoy-admin-bind-port', theirs.adminPort].map(String)
    const ours = await start({ proxyId: 'web-sidecar-proxy', flags: [...flags, ...ports] })
    const dump = await until('the admin', async () => JSON.parse((await page(`http://127.0.0.1:${theirs.adminPort}/config_dump`))[1]))
    const { bootstrap } = dump.configs.find((config: { '@type': string }) => config['@type'].endsWith('BootstrapConfigDump'))
    expect(semantics(JSON.stringify(bootstrap))).toEqual(semantics(readFileSync(written, 'utf8')))
    await ours.stop()
  })

  it('ends in its time: the end asked for by its page, inbound drained, what it was printed', async () => {
    const lasting = await start({
      flags: [
        '-tls-disabled',
        '-telemetry-use-central-config=false',
        '-shutdown-grace-period-seconds',
        '1',
        '-shutdown-drain-listeners',
        '-dump-envoy-config-on-exit',
      ],
      proxyId: 'api-sidecar-proxy',
    })
    await api.stop()
    await until('its page', () => page(`http://127.0.0.1:${lasting.lifecyclePort}/graceful_startup`))
    await until('it is ready', async () => (await page(`http://127.0.0.1:${lasting.adminPort}/ready`))[0] === 200)
    expect(await page(`http://127.0.0.1:${lasting.lifecyclePort}/graceful_shutdown`)).toEqual([200, ''])
    lasting.signal('SIGTERM')
    expect(await lasting.end()).toBe(0)
    expect(lasting.output).toContain('the end begins: the proxy ends in 1 s')
    expect(lasting.output).toContain('envoy.admin.v3.BootstrapConfigDump')
  })

  it.each([
    [
      'is told what it lacks: a proxy that is not registered',
      ['-proxy-id', 'nobody'],
      'no bootstrap parameters of proxy nobody: Service not found',
    ],
    [
      'refuses what consul-dataplane has and it has not',
      ['-proxy-id', 'x', '-envoy-executable-path', '/envoy'],
      '-envoy-executable-path: the proxy is a part of this process',
    ],
  ])('%s', async (_name, flags, reason) => {
    const refused = await start({ flags: [...plain, ...flags, '-mode', 'sidecar'] })
    expect(await refused.end()).toBe(1)
    expect(refused.output).toContain(reason)
  })
})

/** What a bootstrap does, but for where its stream goes: theirs to a port of its own process, ours to the server. */
function semantics(text: string): object {
  const read = readBootstrap([text], {})
  if (!read.ok) throw new Error(JSON.stringify(read.errors))
  const { ads, clusters, listeners, unsupported: _, ...model } = read.value.model
  expect(ads?.services.map(({ cluster, target }) => cluster || target)).toEqual([
    expect.stringMatching(`^(consul-dataplane|${CONSUL_TARGET})$`),
  ])
  return {
    ...model,
    clusters: clusters.filter(({ name }) => name !== 'consul-dataplane').sort((a, b) => (a.name < b.name ? -1 : 1)),
    // Ours answers two more probes on its listener for them.
    listeners: JSON.parse(
      JSON.stringify(listeners, (key, value) =>
        key === 'routes' ? value.filter((route: unknown) => !/\/(live|startup)"/.test(JSON.stringify(route))) : value,
      ),
    ),
  }
}

describe('outrigger sidecar, with ACLs and TLS', () => {
  const ca = new AnyCa('gRPC CA')
  const server = ca.leaf({ dns: ['server.dc1.consul'], usages: ['serverAuth'] })
  const logins = new CiLogins()
  const mesh = new DataplaneMesh({
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
    grpcTls: { certPem: server.cert, keyPem: server.key },
  })
  const secure = ['-ca-certs', join(mesh.dir, 'ca.pem'), '-tls-server-name', 'server.dc1.consul']
  const withLogin = (bearer: string): string[] => {
    writeFileSync(join(mesh.dir, 'bearer'), `${bearer}\n`)
    return [...secure, '-credential-type', 'login', '-login-auth-method', 'ci', '-login-bearer-token-path', join(mesh.dir, 'bearer')]
  }

  beforeAll(async () => {
    writeFileSync(join(mesh.dir, 'ca.pem'), ca.pem)
    await mesh.start()
    await logins.addTo(mesh)
  })
  afterAll(() => mesh.stop())

  it('answers through both: api by login, web by a token in a file', async () => {
    const { SecretID } = (await mesh.put('/v1/acl/token', { ServiceIdentities: [{ ServiceName: 'web' }] })) as { readonly SecretID: string }
    writeFileSync(join(mesh.dir, 'token'), SecretID)
    const api = await mesh.dataplane({ program, proxyId: 'api-sidecar-proxy', flags: withLogin(await logins.bearer('api')) })
    const env = { DP_CREDENTIAL_TYPE: 'static', DP_CREDENTIAL_STATIC_TOKEN_PATH: join(mesh.dir, 'token') }
    const web = await mesh.dataplane({ program, proxyId: 'web-sidecar-proxy', flags: secure, env })
    await mesh.answers(api, web)
    await untilDns(web, 'api.service.consul', '127.0.0.1')
    await api.stop()
    await web.stop()
    const tokens = await fetch(`http://${mesh.plane.httpAddress}/v1/acl/tokens?authmethod=ci`, {
      headers: { 'x-consul-token': MANAGEMENT },
    })
    expect(await tokens.json(), 'logged out at its end').toEqual([])
  })

  it.each([
    ['a bearer token of another service', async () => withLogin(await logins.bearer('web')), 'lacks permission \'service:write\' on "api"'],
    ['half a bearer token', async () => withLogin((await logins.bearer('api')).slice(0, 40)), 'Permission denied'],
    [
      'a server of another name',
      async () => ['-ca-certs', join(mesh.dir, 'ca.pem'), '-tls-server-name', 'other'],
      "Hostname/IP does not match certificate's altnames",
    ],
    ['a server of another CA', async () => ['-tls-server-name', 'server.dc1.consul'], 'unable to verify the first certificate'],
  ])('is told what it lacks: %s', async (_what, flags, reason) => {
    const refused = await mesh.dataplane({ program, proxyId: 'api-sidecar-proxy', flags: await flags() })
    await until(`"${reason}"`, () => refused.output.includes(reason) || Promise.reject(new Error(refused.output)))
    await refused.stop()
  })
})
