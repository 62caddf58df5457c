// STRICT_DNS and LOGICAL_DNS through the real proxy and a DNS server of our own: every address or the first, both families, names that
// change, servers that fail, and how often is asked.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FakeDns } from '../support/fake-dns.js'
import { Front, Lettered, panicOff, to } from '../support/front-proxy.js'
import { stopAll, until } from '../support/proxy-process.js'

const apps = new Lettered(1)
const dns = new FakeDns()
let front: Front
let port: number

const families = {
  'v4-only': ['V4_ONLY', ['127.0.0.1']],
  'v6-only': ['V6_ONLY', ['::1', '::2']],
  all: ['ALL', ['127.0.0.1', '::1', '::2']],
  'v4-preferred': ['V4_PREFERRED', ['127.0.0.1']],
  auto: ['AUTO', ['::1', '::2']],
} as const

function named(name: string, type: string, host: string, more: object = {}): object {
  return {
    name,
    type,
    connect_timeout: '1s',
    dns_lookup_family: 'V4_ONLY',
    dns_refresh_rate: '0.1s',
    dns_failure_refresh_rate: { base_interval: '0.1s', max_interval: '0.1s' },
    dns_resolvers: [{ socket_address: { address: '127.0.0.1', port_value: dns.port } }],
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: host, port_value: port } } } }] }],
    },
    ...panicOff,
    ...more,
  }
}

const cares = (): object => ({
  name: 'envoy.network.dns_resolver.cares',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
    resolvers: [{ socket_address: { address: '127.0.0.1', port_value: dns.port } }],
    dns_resolver_options: { no_default_search_domain: true },
    query_timeout_seconds: 1,
    query_tries: 1,
  },
})
const getaddrinfo = {
  name: 'envoy.network.dns_resolver.getaddrinfo',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig',
    num_retries: 1,
  },
}

function typed(name: string, host: string, config: object): object {
  const {
    type: _type,
    dns_lookup_family: _family,
    dns_refresh_rate: _rate,
    ...cluster
  } = named(name, 'STRICT_DNS', host) as Record<string, unknown>
  const { dns_failure_refresh_rate: _failure, dns_resolvers: _resolvers, ...rest } = cluster
  return {
    ...rest,
    cluster_type: {
      name: 'envoy.clusters.dns',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster',
        dns_refresh_rate: '0.1s',
        dns_lookup_family: 'V4_ONLY',
        ...config,
      },
    },
  }
}

beforeAll(async () => {
  await Promise.all([apps.listen(), dns.listen()])
  port = apps.ports[0]!
  dns.names.set('both.test', { a: ['127.0.0.1'], aaaa: ['::1', '::2'] })
  dns.names.set('four.test', { a: ['127.0.0.1'] })
  for (const name of ['many', 'flaky', 'silent', 'gone', 'logical', 'logical-flaky', 'steady', 'Mixed', 'typed', 'typed-logical'])
    dns.names.set(`${name.toLowerCase()}.test`, { a: ['127.0.0.1', '127.0.0.2', '127.0.0.3'] })
  dns.names.set('ttl.test', { a: ['127.0.0.1'], ttl: 1 })
  dns.names.set('long.test', { a: ['127.0.0.1'], ttl: 600 })
  dns.names.set('later.test', 'servfail')
  const clusters = [
    ...Object.entries(families).map(([name, [family]]) => named(name, 'STRICT_DNS', 'both.test', { dns_lookup_family: family })),
    named('auto-four', 'STRICT_DNS', 'four.test', { dns_lookup_family: 'AUTO' }),
    ...['many', 'flaky', 'silent', 'gone', 'later'].map(name => named(name, 'STRICT_DNS', `${name}.test`)),
    named('mixed', 'STRICT_DNS', 'Mixed.TEST'),
    named('steady', 'STRICT_DNS', 'steady.test', { dns_refresh_rate: '600s' }),
    named('ttl', 'STRICT_DNS', 'ttl.test', { respect_dns_ttl: true, dns_refresh_rate: '600s' }),
    named('long', 'STRICT_DNS', 'long.test', { respect_dns_ttl: true, dns_refresh_rate: '0.1s' }),
    named('logical', 'LOGICAL_DNS', 'logical.test'),
    named('logical-flaky', 'LOGICAL_DNS', 'logical-flaky.test'),
    typed('typed', 'typed.test', { typed_dns_resolver_config: cares() }),
    typed('typed-logical', 'typed-logical.test', { typed_dns_resolver_config: cares(), all_addresses_in_single_endpoint: true }),
    typed('system', 'localhost', { typed_dns_resolver_config: getaddrinfo }),
    typed('boot', 'four.test', {}),
    named('nobody', 'STRICT_DNS', 'nobody.test'),
  ]
  const names = clusters.map(cluster => (cluster as { name: string }).name)
  front = await Front.start({
    routes: names.map(name => to(`/${name}/`, name)),
    clusters,
    bootstrap: { typed_dns_resolver_config: cares() },
  })
})

afterAll(async () => {
  await stopAll()
  dns.close()
  await apps.close()
})

/** The addresses of a cluster, as the admin API shows them, sorted. */
async function addresses(cluster: string): Promise<string[]> {
  const { body } = await front.proxy.get('/clusters')
  const found = new Set<string>()
  for (const line of body.split('\n')) {
    const match = /^([^:]+)::\[?([0-9a-f.:]+?)\]?:(\d+)::cx_active/.exec(line)
    if (match !== null && match[1] === cluster) found.add(match[2]!)
  }
  return [...found].sort()
}

const become = (cluster: string, expected: readonly string[]): Promise<unknown> =>
  until(`${cluster} has ${expected.join()}`, async () => {
    const found = await addresses(cluster)
    return found.join() === [...expected].sort().join() || Promise.reject(new Error(found.join()))
  })
/** Resolves after the server was asked again, so that an answer that changes nothing has had its chance. */
const askedAgain = async (name: string, times = 2): Promise<void> => {
  const before = dns.count(name)
  await until(`${name} is asked for again`, () => dns.count(name) >= before + times)
}

describe('address families', () => {
  it.each(Object.entries(families))('%s', async (cluster, [, expected]) => {
    await become(cluster, expected)
  })

  it('auto: IPv4 where there is no IPv6', async () => {
    await become('auto-four', ['127.0.0.1'])
    expect((await front.ask('/auto-four/')).body).toBe('a')
  })
})

describe('STRICT_DNS', () => {
  it('has every address, and follows them', async () => {
    await become('many', ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    dns.names.set('many.test', { a: ['127.0.0.1', '127.0.0.9'] })
    await become('many', ['127.0.0.1', '127.0.0.9'])
    dns.names.set('many.test', { a: ['127.0.0.1'] })
    await become('many', ['127.0.0.1'])
    expect((await front.ask('/many/')).body).toBe('a')
  })

  it.each([
    ['flaky', 'servfail'],
    ['silent', 'silent'],
  ] as const)('%s: keeps what it has while the server fails (%s), and recovers', async (cluster, failure) => {
    await become(cluster, ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    dns.names.set(`${cluster}.test`, failure)
    await askedAgain(`${cluster}.test`)
    expect(await addresses(cluster)).toHaveLength(3)
    dns.names.set(`${cluster}.test`, { a: ['127.0.0.1'] })
    await become(cluster, ['127.0.0.1'])
    if (failure === 'servfail') expect(await front.proxy.stat(`cluster.${cluster}.update_failure`)).toBeGreaterThan(0)
  })

  it('gone: a name that no longer exists has no endpoints', async () => {
    await become('gone', ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    dns.names.delete('gone.test')
    await become('gone', [])
    expect((await front.ask('/gone/')).body).toBe('no healthy upstream')
  })

  it('a name that is not there at the start does not hold the proxy back, and serves once it is', async () => {
    expect((await front.ask('/later/')).body).toBe('no healthy upstream')
    expect((await front.ask('/nobody/')).body).toBe('no healthy upstream')
    dns.names.set('later.test', { a: ['127.0.0.1'] })
    await until('it serves', async () => (await front.ask('/later/')).body === 'a')
  })

  it('asks once a refresh, not once a request; upper case is the same name', async () => {
    await become('mixed', ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    await become('steady', ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    for (let i = 0; i < 20; i++) await front.ask('/steady/')
    expect(dns.count('steady.test')).toBe(1)
  })

  it('respect_dns_ttl: asks again when the TTL is over, long before or after the refresh rate', async () => {
    await become('ttl', ['127.0.0.1'])
    dns.names.set('ttl.test', { a: ['127.0.0.7'], ttl: 600 })
    await become('ttl', ['127.0.0.7'])
    expect(dns.count('ttl.test')).toBeLessThan(6)
    expect(dns.count('long.test')).toBe(1)
  })
})

describe('envoy.clusters.dns', () => {
  it('strict: every address, by the resolver of its typed config', async () => {
    await become('typed', ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    dns.names.set('typed.test', { a: ['127.0.0.1'] })
    await become('typed', ['127.0.0.1'])
    expect((await front.ask('/typed/')).body).toBe('a')
  })

  it('all_addresses_in_single_endpoint: one endpoint', async () => {
    await become('typed-logical', ['127.0.0.1'])
    expect((await front.ask('/typed-logical/')).body).toBe('a')
  })

  it("getaddrinfo: the system's names", async () => {
    await become('system', ['127.0.0.1'])
    expect((await front.ask('/system/')).body).toBe('a')
  })

  it('a cluster without a resolver asks that of the bootstrap', async () => {
    await become('boot', ['127.0.0.1'])
    expect((await front.ask('/boot/')).body).toBe('a')
  })
})

describe('LOGICAL_DNS', () => {
  it('is one endpoint at the first address; new connections follow it', async () => {
    expect((await front.ask('/logical/')).body).toBe('a')
    expect(await addresses('logical')).toHaveLength(1)
    dns.names.set('logical.test', { a: ['127.0.0.5', '127.0.0.1'] })
    await become('logical', ['127.0.0.5'])
  })

  it('keeps its address while the server fails', async () => {
    await become('logical-flaky', ['127.0.0.1'])
    dns.names.set('logical-flaky.test', 'servfail')
    await askedAgain('logical-flaky.test')
    expect(await addresses('logical-flaky')).toEqual(['127.0.0.1'])
    expect((await front.ask('/logical-flaky/')).body).toBe('a')
    dns.names.delete('logical-flaky.test')
    await askedAgain('logical-flaky.test')
    expect((await front.ask('/logical-flaky/')).body).toBe('a')
  })
})
