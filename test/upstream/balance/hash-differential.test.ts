// The same keys must land on the same hosts as with the real Envoy. Needs ENVOY_BIN; without it only this file's tests are skipped.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LbPolicy } from '../../../src/model/cluster.js'
import type { UpstreamCluster } from '../../../src/upstream/cluster/cluster.js'
import { xxHash64 } from '../../../src/upstream/hash/xx-hash.js'
import { context, type EndpointSpec, endpoint, locality, maglev, ringHash, seeded, staticCluster, testRegistry } from '../fixtures.js'

const envoyBin = process.env.ENVOY_BIN

interface Case {
  name: string
  policy: LbPolicy
  envoy: object
  hosts: (i: number) => EndpointSpec
  localities?: boolean
}

const weights = [1, 2, 5, 1, 3, 7, 1]
const cases: Case[] = [
  { name: 'ring', policy: ringHash, envoy: { lb_policy: 'RING_HASH' }, hosts: () => ({}) },
  { name: 'ring_weights', policy: ringHash, envoy: { lb_policy: 'RING_HASH' }, hosts: i => ({ weight: weights[i]! }) },
  {
    name: 'ring_small',
    policy: { ...ringHash, minRingSize: 3, maxRingSize: 10 } as LbPolicy,
    envoy: { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 3, maximum_ring_size: 10 } },
    hosts: i => ({ weight: weights[i]! }),
  },
  {
    name: 'ring_murmur',
    policy: { ...ringHash, hashFunction: 'MURMUR_HASH_2' } as LbPolicy,
    envoy: { lb_policy: 'RING_HASH', ring_hash_lb_config: { hash_function: 'MURMUR_HASH_2' } },
    hosts: () => ({}),
  },
  {
    name: 'ring_keys',
    policy: ringHash,
    envoy: { lb_policy: 'RING_HASH' },
    hosts: i => ({ lb: { hash_key: `schlüssel-${i * 7}` } }),
  },
  {
    name: 'ring_localities',
    policy: ringHash,
    envoy: { lb_policy: 'RING_HASH', common_lb_config: { locality_weighted_lb_config: {} } },
    hosts: i => ({ weight: weights[i]! }),
    localities: true,
  },
  { name: 'maglev', policy: maglev, envoy: { lb_policy: 'MAGLEV' }, hosts: () => ({}) },
  { name: 'maglev_weights', policy: maglev, envoy: { lb_policy: 'MAGLEV' }, hosts: i => ({ weight: weights[i]! }) },
  {
    name: 'maglev_small',
    policy: { ...maglev, tableSize: 101 } as LbPolicy,
    envoy: { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 101 } },
    hosts: i => ({ weight: weights[i]! }),
  },
  {
    name: 'maglev_hostnames',
    policy: { ...maglev, useHostnameForHashing: true } as LbPolicy,
    envoy: {
      type: 'STRICT_DNS',
      lb_policy: 'MAGLEV',
      common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } },
    },
    hosts: i => ({ hostname: `host-${i * 13}.example` }),
  },
]

const hostOf = (i: number): string => `127.0.7.${i + 1}`

function bootstrap(port: number): object {
  const endpointOf = (each: Case, i: number): object => {
    const spec = each.hosts(i)
    return {
      endpoint: { hostname: spec.hostname ?? '', address: { socket_address: { address: hostOf(i), port_value: port } } },
      load_balancing_weight: spec.weight ?? 1,
      metadata: spec.lb === undefined ? {} : { filter_metadata: { 'envoy.lb': spec.lb } },
    }
  }
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      listeners: [
        {
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'test',
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: cases.map(each => ({
                            match: { path: `/${each.name}` },
                            route: { cluster: each.name, hash_policy: [{ header: { header_name: 'x-key' } }] },
                          })),
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'router',
                        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: cases.map(each => ({
        name: each.name,
        type: 'STATIC',
        connect_timeout: '5s',
        ...each.envoy,
        load_assignment: {
          cluster_name: each.name,
          endpoints: each.localities
            ? [
                { locality: { region: 'r', zone: 'a' }, load_balancing_weight: 3, lb_endpoints: [0, 1, 2].map(i => endpointOf(each, i)) },
                {
                  locality: { region: 'r', zone: 'b' },
                  load_balancing_weight: 2,
                  lb_endpoints: [3, 4, 5, 6].map(i => endpointOf(each, i)),
                },
              ]
            : [{ lb_endpoints: weights.map((_, i) => endpointOf(each, i)) }],
        },
      })),
    },
  }
}

function ourCluster(each: Case, port: number): UpstreamCluster {
  const { registry, settle } = testRegistry()
  const make = (i: number) => endpoint(hostOf(i), port, each.hosts(i))
  const localities = each.localities
    ? [locality([0, 1, 2].map(make), { zone: 'a', weight: 3 }), locality([3, 4, 5, 6].map(make), { zone: 'b', weight: 2 })]
    : [locality(weights.map((_, i) => make(i)))]
  registry.apply(staticCluster(each.name, localities, { lbPolicy: each.policy, localityWeighted: each.localities ?? false }))
  settle()
  return registry.get(each.name)!
}

function get(agent: http.Agent, port: number, path: string, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get({ agent, host: '127.0.0.1', port, path, headers: { 'x-key': key } }, response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', chunk => {
          body += chunk
        })
        response.on('end', () => resolve(body))
      })
      .on('error', reject)
  })
}

async function until<T>(what: () => Promise<T | null> | T | null): Promise<T> {
  for (;;) {
    const value = await what()
    if (value !== null) return value
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

describe.skipIf(envoyBin === undefined)('ring hash and maglev against the real Envoy (ENVOY_BIN)', () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
  const directory = mkdtempSync(join(tmpdir(), 'hash-differential-'))
  const origin = http.createServer((request, response) => response.end(request.socket.localAddress ?? ''))
  let envoy: ChildProcess
  let listenerPort = 0
  let originPort = 0

  beforeAll(async () => {
    await new Promise<void>(resolve => origin.listen(0, '0.0.0.0', resolve))
    originPort = (origin.address() as AddressInfo).port
    const config = join(directory, 'bootstrap.json')
    const adminFile = join(directory, 'admin')
    writeFileSync(config, JSON.stringify(bootstrap(originPort)))
    envoy = spawn(
      envoyBin!,
      ['-c', config, '--concurrency', '1', '--disable-hot-restart', '--admin-address-path', adminFile, '-l', 'error'],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let errors = ''
    envoy.stderr!.on('data', chunk => {
      errors += chunk
    })
    const alive = (): void => {
      if (envoy.exitCode !== null) throw new Error(`Envoy ended: ${errors}`)
    }
    const admin = await until(() => {
      alive()
      try {
        const text = readFileSync(adminFile, 'utf8').trim()
        return text.includes(':') ? Number(text.slice(text.lastIndexOf(':') + 1)) : null
      } catch {
        return null
      }
    })
    listenerPort = await until(async () => {
      alive()
      try {
        const body = await get(agent, admin, '/listeners?format=json', '')
        return (
          (JSON.parse(body) as { listener_statuses?: { local_address: { socket_address: { port_value: number } } }[] })
            .listener_statuses?.[0]?.local_address.socket_address.port_value ?? null
        )
      } catch {
        return null
      }
    })
  })

  afterAll(() => {
    envoy?.kill()
    agent.destroy()
    origin.closeAllConnections()
    origin.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it.each(cases)('$name: 200 header values choose the same host', async each => {
    const random = seeded(7)
    const ours = ourCluster(each, originPort)
    const keys = Array.from({ length: 200 }, (_, i) => `user-${i}-${Math.floor(random() * 1e9).toString(36)}`)
    const theirs = await Promise.all(keys.map(key => get(agent, listenerPort, `/${each.name}`, key)))
    const chosen = keys.map(key => {
      const host = ours.pick(context(random, { hash: xxHash64(key) }))!
      return host.address.kind === 'socket' ? host.address.host : ''
    })
    expect(chosen).toEqual(theirs)
    expect(new Set(theirs).size).toBeGreaterThan(2)
  })
})
