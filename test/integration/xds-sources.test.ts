// Where dynamic resources may come from besides one ADS stream in the clear: streams of one type each, files, a server behind mutual TLS;
// and what is refused. The same under a control plane that is not ours: go-control-plane.test.ts.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce } from '../support/http1-client.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  routesTo,
  socketAddress,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const one = new HttpOrigin((_, socket) => void socket.write(http('one')))
const two = new HttpOrigin((_, socket) => void socket.write(http('two')))
let dir: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-sources-'))
  await Promise.all([one.listen(), two.listen()])
})
afterAll(async () => {
  await stopAll()
  await one.close()
  await two.close()
  rmSync(dir, { recursive: true, force: true })
})

const body = async (port: number): Promise<string> => {
  const answer = await fetchOnce(port)
  return answer.status === 200 ? answer.body : String(answer.status)
}
const untilBody = (port: number, expected: string): Promise<unknown> =>
  until(`the answer ${expected}`, async () => (await body(port)) === expected || Promise.reject(new Error(await body(port))))
const prefix = 'type.googleapis.com/envoy.config.'
const fromFile = (path: string): object => ({ path_config_source: { path }, resource_api_version: 'V3' })
const cluster = (name: string, source: object): object => edsCluster(name, { eds_cluster_config: { eds_config: source } })
const front = (port: number, table: string, source: object): object =>
  listener('front', port, [hcm({ rds: { config_source: source, route_config_name: table } })])
const twice = { virtual_hosts: ['a', 'b'].map(name => ({ name, domains: ['same'], routes: [{ match: { prefix: '/' }, redirect: {} }] })) }

describe.each(['GRPC', 'DELTA_GRPC'] as const)('a stream for each type by %s', apiType => {
  it('serves, and follows changes of endpoints and routes', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    const source = {
      api_config_source: { api_type: apiType, transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
      resource_api_version: 'V3',
    }
    ads.set({
      clusters: [cluster('app', source), cluster('other', source)],
      endpoints: [assignment('app', [one.port]), assignment('other', [two.port])],
      listeners: [front(port, 'main', source)],
      routes: [routesTo('app', 'main')],
    })
    const whole = ads.bootstrap(apiType) as { dynamic_resources: object }
    await ProxyProcess.start({ bootstrap: { ...whole, dynamic_resources: { cds_config: source, lds_config: source } } })
    await untilBody(port, 'one')
    expect(ads.streamsOpened).toBe(4)
    ads.set({ routes: [routesTo('other', 'main')] })
    await untilBody(port, 'two')
    ads.set({ endpoints: [assignment('app', [one.port]), assignment('other', [one.port])] })
    await untilBody(port, 'one')
    expect(ads.nacks).toEqual([])
    ads.kill()
  })
})

describe('files', () => {
  it('LDS, CDS, RDS and EDS by path_config_source: each follows moves onto its file, and a broken file changes nothing', async () => {
    const port = await freePort()
    const path = (name: string): string => join(dir, `${name}.json`)
    const types: Readonly<Record<string, string>> = {
      cds: `${prefix}cluster.v3.Cluster`,
      eds: `${prefix}endpoint.v3.ClusterLoadAssignment`,
      lds: `${prefix}listener.v3.Listener`,
      rds: `${prefix}route.v3.RouteConfiguration`,
    }
    const move = (name: string, ...resources: object[]): void => {
      writeFileSync(
        `${path(name)}.tmp`,
        JSON.stringify({ version_info: '1', resources: resources.map(one => ({ '@type': types[name], ...one })) }),
      )
      renameSync(`${path(name)}.tmp`, path(name))
    }
    move('eds', assignment('app', [one.port]), assignment('other', [two.port]))
    move('rds', routesTo('app', 'main'))
    move('cds', cluster('app', fromFile(path('eds'))))
    move('lds', front(port, 'main', fromFile(path('rds'))))
    const proxy = await ProxyProcess.start({
      bootstrap: {
        node: { id: 'n', cluster: 'c' },
        dynamic_resources: { cds_config: fromFile(path('cds')), lds_config: fromFile(path('lds')) },
      },
    })
    await untilBody(port, 'one')
    move('eds', assignment('app', [two.port]), assignment('other', [one.port]))
    await untilBody(port, 'two')
    move('cds', cluster('app', fromFile(path('eds'))), cluster('other', fromFile(path('eds'))))
    move('rds', routesTo('other', 'main'))
    await untilBody(port, 'one')
    writeFileSync(path('rds'), '{')
    move('rds', { ...routesTo('app', 'main'), ...twice })
    await proxy.untilStat('http.ingress.rds.main.update_rejected', value => value >= 1)
    expect(await body(port)).toBe('one')
    move('rds', routesTo('app', 'main'))
    await untilBody(port, 'two')
    const moved = await freePort()
    move('lds', { ...front(port, 'main', fromFile(path('rds'))), address: socketAddress(moved) })
    await untilBody(moved, 'two')
  })
})

describe('a server behind mutual TLS', () => {
  it('is judged by the names that its cluster asks for, and sees the certificate of the cluster', async () => {
    const ca = new AnyCa()
    const leaf = ca.service('server')
    const client = ca.service('web')
    const port = await freePort()
    const pair = { private_key: Buffer.from(leaf.key), cert_chain: Buffer.from(leaf.cert) }
    const ads = await new AdsFixture(grpc.ServerCredentials.createSsl(Buffer.from(ca.pem), [pair], true)).start()
    ads.set({ listeners: [listener('front', port, [hcm({ route_config: routesTo('xds') })])] })
    const bootstrap = (suffix: string): object => {
      const whole = ads.bootstrap() as { static_resources: { clusters: object[] } }
      const tls = typed('tls', 'transport_sockets.tls.v3.UpstreamTlsContext', {
        common_tls_context: {
          tls_certificates: [{ certificate_chain: { inline_string: client.cert }, private_key: { inline_string: client.key } }],
          validation_context: {
            trusted_ca: { inline_string: ca.pem },
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { suffix } }],
          },
        },
      })
      const clusters = whole.static_resources.clusters.map(each => ({ ...each, transport_socket: tls }))
      return { ...whole, static_resources: { clusters } }
    }
    const wrong = await ProxyProcess.start({ bootstrap: bootstrap('/svc/other'), untilReady: false })
    await wrong.untilStat('cluster.xds.ssl.fail_verify_san', value => value >= 1)
    expect(ads.streamsOpened).toBe(0)
    const right = await ProxyProcess.start({ bootstrap: bootstrap('/svc/server') })
    expect(await right.stat('listener_manager.total_listeners_active')).toBe(1)
    expect(ads.streamsOpened).toBe(1)
    ads.kill()
  })
})

describe('refused', () => {
  it.each([
    ['ads without ads_config', { ads: {} }, 'eds_cluster_config.eds_config.ads: ads_config is required'],
    [
      'a server that is no static cluster',
      { api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'app' } }] } },
      "eds_cluster_config.eds_config.api_config_source.grpc_services[0].envoy_grpc.cluster_name: must have a statically defined non-EDS cluster: 'app'",
    ],
  ])('%s', async (_, source, reason) => {
    const run = await ProxyProcess.run({
      bootstrap: { node: { id: 'n', cluster: 'c' }, static_resources: { clusters: [cluster('app', source)] } },
      flags: ['--mode', 'validate'],
    })
    expect(run.code).toBe(1)
    expect(run.stderr).toContain(`static_resources.clusters[0].${reason}`)
  })
})
