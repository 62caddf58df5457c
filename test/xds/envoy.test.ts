// The real Envoy as a client of AdsServer. Runs when ENVOY_BIN names the executable; skipped by name otherwise.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { anyPack, durationFromMs } from '@bufbuild/protobuf/wkt'
import { afterEach, describe, expect, it } from 'vitest'
import { Cluster_DiscoveryType, ClusterSchema } from '../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { RouterSchema } from '../../src/xds/gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import {
  HttpConnectionManagerSchema,
  RdsSchema,
} from '../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { type AdsNack, AdsServer } from '../../src/xds/server/server.js'
import { makeResource, makeSnapshot, type Resource, type ResourceChildren } from '../../src/xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../src/xds/type-urls.js'
import { eventually } from '../support/eventually.js'
import { attachAds, grpcJsServer } from '../support/grpc-js-ads.js'
import { bind } from './xds-peers.js'

const envoy = process.env['ENVOY_BIN']

function pack<S extends DescMessage>(
  name: string,
  typeUrl: string,
  schema: S,
  init: MessageInitShape<S>,
  children: ResourceChildren[] = [],
): Resource {
  return makeResource(name, typeUrl, toBinary(schema, create(schema, init)), children)
}

const adsSource = {
  configSourceSpecifier: { case: 'ads' as const, value: {} },
  resourceApiVersion: 2,
  initialFetchTimeout: durationFromMs(0),
}

function edsCluster(name: string, connectTimeoutMs: number): Resource {
  const init = {
    name,
    connectTimeout: durationFromMs(connectTimeoutMs),
    clusterDiscoveryType: { case: 'type' as const, value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: adsSource },
  }
  return pack(name, CLUSTER_TYPE, ClusterSchema, init, [{ typeUrl: ENDPOINT_TYPE, names: [name] }])
}

function socketAddress(port: number) {
  const socket = { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: port } }
  return { address: { case: 'socketAddress' as const, value: socket } }
}

function loadAssignment(clusterName: string, port: number): Resource {
  return pack(clusterName, ENDPOINT_TYPE, ClusterLoadAssignmentSchema, {
    clusterName,
    endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: socketAddress(port) } } }] }],
  })
}

function httpListener(name: string, routeName: string, statPrefix = 'in'): Resource {
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix,
    routeSpecifier: { case: 'rds', value: create(RdsSchema, { routeConfigName: routeName, configSource: adsSource }) },
    httpFilters: [
      { name: 'envoy.filters.http.router', configType: { case: 'typedConfig', value: anyPack(RouterSchema, create(RouterSchema)) } },
    ],
  })
  const filter = { name: 'hcm', configType: { case: 'typedConfig' as const, value: anyPack(HttpConnectionManagerSchema, manager) } }
  const init = { name, address: socketAddress(0), filterChains: [{ filters: [filter] }] }
  return pack(name, LISTENER_TYPE, ListenerSchema, init, [{ typeUrl: ROUTE_TYPE, names: [routeName] }])
}

function routeTo(name: string, clusterName: string): Resource {
  const action = { clusterSpecifier: { case: 'cluster' as const, value: clusterName } }
  const match = { pathSpecifier: { case: 'prefix' as const, value: '/' } }
  return pack(name, ROUTE_TYPE, RouteConfigurationSchema, {
    name,
    virtualHosts: [{ name: 'all', domains: ['*'], routes: [{ match, action: { case: 'route', value: action } }] }],
  })
}

function fetchText(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => (body += chunk))
      response.on('end', () => resolve(body))
    })
    request.on('error', reject)
  })
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function origin(answer: string): Promise<number> {
  const server = createServer((_, response) => response.end(answer))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  return (server.address() as AddressInfo).port
}

async function startEnvoy(xdsPort: number, apiType: string): Promise<{ admin: number; process: ChildProcess }> {
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-envoy-'))
  const adminFile = join(folder, 'admin')
  const xds = `{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${xdsPort}}}}}]}`
  const bootstrap = `
node: {id: web-1, cluster: web}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  ads_config: {api_type: ${apiType}, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [${xds}]}
`
  const args = ['--config-yaml', bootstrap, '--admin-address-path', adminFile, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error']
  const child = spawn(envoy!, args, { stdio: 'ignore' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  cleanups.push(async () => {
    child.kill('SIGKILL')
    await exited
    await rm(folder, { recursive: true, force: true })
  })
  const address = await eventually(() => readFile(adminFile, 'utf8').then(text => text.match(/:(\d+)$/)![1]!))
  return { admin: Number(address), process: child }
}

describe.skipIf(!envoy).each(['DELTA_GRPC', 'GRPC'])('the real Envoy by %s (needs ENVOY_BIN)', apiType => {
  it('warms clusters, endpoints, listeners and routes, follows changes, and gets unchanged endpoints again', async () => {
    const nacks: AdsNack[] = []
    const ads = new AdsServer({ accept: () => ({ ok: true }), onNack: nack => nacks.push(nack) })
    const server = grpcJsServer()
    attachAds(ads, server)
    cleanups.push(() => server.forceShutdown())
    const one = await origin('one')
    const two = await origin('two')
    ads.setSnapshot(
      'web-1',
      makeSnapshot([edsCluster('a', 1000), loadAssignment('a', one), httpListener('in', 'r'), routeTo('r', 'a')]),
      'v1',
    )
    const { admin } = await startEnvoy(await bind(server), apiType)
    const port = await eventually(async () => Number((await fetchText(admin, '/listeners')).match(/in::127\.0\.0\.1:(\d+)/)![1]))
    await eventually(async () => expect(await fetchText(port)).toBe('one'))
    await eventually(() => expect(ads.isSynced('web-1')).toBe(true))

    // The cluster changes, its endpoints do not: Envoy's new cluster warms only if they are sent again (Envoy issue 13009).
    ads.setSnapshot(
      'web-1',
      makeSnapshot([edsCluster('a', 2000), loadAssignment('a', one), httpListener('in', 'r'), routeTo('r', 'a')]),
      'v2',
    )
    await eventually(() => expect(ads.isSynced('web-1')).toBe(true))
    expect(await fetchText(admin, '/stats?filter=cluster_manager.warming_clusters')).toContain(': 0')
    expect(await fetchText(port)).toBe('one')

    // A move to another cluster, the old one removed: no request between may fail.
    const answers = new Set<string>()
    let asking = true
    const load = (async () => {
      while (asking) answers.add(await fetchText(port))
    })()
    ads.setSnapshot(
      'web-1',
      makeSnapshot([edsCluster('b', 1000), loadAssignment('b', two), httpListener('in', 'r'), routeTo('r', 'b')]),
      'v3',
    )
    await eventually(() => expect(ads.isSynced('web-1')).toBe(true))
    await eventually(() => expect(answers).toContain('two'))
    asking = false
    await load
    expect([...answers].sort()).toEqual(['one', 'two'])
    await eventually(async () => expect(await fetchText(admin, '/clusters')).not.toContain('a::'))
    expect(nacks).toEqual([])

    // A refused listener is reported and the one before serves on.
    ads.setSnapshot(
      'web-1',
      makeSnapshot([edsCluster('b', 1000), loadAssignment('b', two), httpListener('in', 'r', ''), routeTo('r', 'b')]),
    )
    await eventually(() => expect(nacks).toHaveLength(1))
    expect(nacks[0]).toMatchObject({ typeUrl: LISTENER_TYPE, message: expect.stringContaining('StatPrefix') })
    expect(await fetchText(port)).toBe('two')
  })
})
