import { describe, expect, it } from 'vitest'
import type { Cluster } from '../../../src/model/cluster.js'
import type { UpstreamTls } from '../../../src/model/tls.js'
import type { ClusterSecrets } from '../../../src/upstream/cluster/cluster-deps.js'
import type { ClusterRegistry } from '../../../src/upstream/cluster/cluster-registry.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  healthCheck,
  histogram,
  locality,
  maglev,
  manyEndpoints,
  pool,
  ringHash,
  seeded,
  staticCluster,
  testRegistry,
} from '../fixtures.js'

const eds = (name: string, addresses: string[]) => assignment(name, [locality(addresses.map(address => endpoint(address, 80)))])
/** Names of the EDS resources wanted over ADS. */
const edsNames = (registry: ClusterRegistry): string[] =>
  registry.edsSubscriptions().flatMap(({ serviceName, source }) => (source.kind === 'ads' ? [serviceName] : []))
const withTimeout = (name: string, initialFetchTimeoutMs: number): Cluster =>
  cluster(name, { discovery: { kind: 'eds', serviceName: '', source: { kind: 'ads' }, initialFetchTimeoutMs } })

describe('equal updates', () => {
  it.each([
    ['ring hash', ringHash],
    ['maglev', maglev],
  ])('touch neither hosts, pools, tables, ejections nor breakers (%s)', (_name, lbPolicy) => {
    const { registry } = testRegistry()
    registry.apply(cluster('c', { lbPolicy }))
    registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2']))
    const target = registry.get('c')!
    target.pick(context(seeded(1), { hash: 1n }))
    const { hosts } = target
    const version = target.hostSetVersion
    const breakers = target.breakers('DEFAULT')
    let closed = 0
    for (const host of hosts)
      host.pools.set(
        'p',
        pool(() => closed++),
      )
    registry.apply(structuredClone(cluster('c', { lbPolicy })))
    registry.applyAssignment(structuredClone(eds('c', ['10.0.0.1', '10.0.0.2'])))
    expect(registry.get('c')).toBe(target)
    expect(target.hosts).toBe(hosts)
    expect(target.hostSetVersion).toBe(version)
    expect(target.breakers('DEFAULT')).toBe(breakers)
    expect(closed).toBe(0)
    expect(registry.warmingCount).toBe(0)
    expect(target.stats.main.update_no_rebuild.value).toBe(1)
  })
})

describe('cluster_updated', () => {
  it('counts each change of hosts or their health in a cluster that is in use, and not what it starts with', () => {
    const updates = { value: 0 }
    const { registry } = testRegistry({ updates })
    const countOf = (step: () => void): number => {
      const before = updates.value
      step()
      return updates.value - before
    }
    expect(countOf(() => registry.apply(staticCluster('s', [locality([endpoint('10.0.0.1', 80)])])))).toBe(0)
    expect(countOf(() => registry.apply(cluster('c')))).toBe(0)
    expect(countOf(() => registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2'])))).toBe(0)
    expect(countOf(() => registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2'])))).toBe(0)
    expect(countOf(() => registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.3'])))).toBe(1)
    const target = registry.get('c')!
    expect(countOf(() => target.setHealth(target.hosts[0]!, HealthFlag.FAILED_ACTIVE_HC, 0))).toBe(1)
    expect(countOf(() => target.setHealth(target.hosts[0]!, HealthFlag.FAILED_ACTIVE_HC, 0))).toBe(0)
  })
})

describe('secrets of TLS contexts', () => {
  const withSecret = (name: string, more: Partial<Cluster> = {}): Cluster =>
    cluster('c', { tls: { sni: name } as unknown as UpstreamTls, ...more })
  /** Secrets are known by the SNI of their cluster's model. */
  function world() {
    const here = new Set<string>()
    const held: string[] = []
    const waiting = new Set<() => void>()
    const nameOf = ({ tls }: Cluster): string => tls?.sni ?? ''
    const secrets: ClusterSecrets = {
      missing: config => (nameOf(config) === '' || here.has(nameOf(config)) ? [] : [nameOf(config)]),
      hold: ({ config }) => void held.push(nameOf(config)),
      whenComplete: (config, done) => {
        const check = (): void => {
          if (secrets.missing(config).length > 0) return
          waiting.delete(check)
          done()
        }
        waiting.add(check)
        check()
        return () => waiting.delete(check)
      },
    }
    const come = (name: string): void => {
      here.add(name)
      for (const check of [...waiting]) check()
    }
    return { ...testRegistry({ secrets }), held, waiting, come }
  }

  it('are asked for at once, and waited for beside the endpoints; warming_state is of that wait alone', () => {
    const { registry, held, come } = world()
    registry.apply(withSecret('leaf'))
    const warming = registry.warming('c')!
    expect([held, warming.missingSecrets]).toEqual([['leaf'], ['leaf']])
    expect(warming.stats.main.warming_state.value).toBe(0)
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    expect([registry.get('c'), registry.awaitedCount, warming.stats.main.warming_state.value]).toEqual([undefined, 1, 1])
    come('leaf')
    expect([registry.get('c'), registry.awaitedCount, warming.stats.main.warming_state.value]).toEqual([warming, 0, 0])
  })

  it('of a changed config leave the old version in use until they are here, and change it in place when they are', () => {
    const { registry, come } = world()
    come('first')
    registry.apply(withSecret('first'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const old = registry.get('c')!
    registry.apply(withSecret('second'))
    expect(registry.get('c')).toBe(old)
    expect([old.config.tls?.sni, registry.warmingCount]).toEqual(['first', 1])
    come('second')
    const next = registry.get('c')!
    expect([next === old, next.config.tls?.sni, next.hosts.length, registry.warmingCount]).toEqual([false, 'second', 1, 0])
    registry.apply(withSecret('first'))
    expect(registry.get('c')).toBe(next)
    expect(next.config.tls?.sni).toBe('first')
  })

  it('are waited for no longer by a cluster that is removed or replaced', () => {
    const { registry, waiting } = world()
    registry.apply(withSecret('leaf'))
    registry.apply(withSecret('other'))
    expect(waiting.size).toBe(1)
    registry.remove('c')
    expect(waiting.size).toBe(0)
  })

  it('come before the first health checks', () => {
    const { registry, clock, come } = world()
    registry.apply(
      withSecret('leaf', { healthChecks: [healthCheck({ kind: 'grpc', serviceName: '', authority: '', initialMetadata: [] })] }),
    )
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const { stats } = registry.warming('c')!
    clock.advance(100)
    expect(stats.healthCheck.attempt.value).toBe(0)
    come('leaf')
    clock.advance(0)
    expect(stats.healthCheck.attempt.value).toBe(1)
    expect(registry.get('c')).toBeDefined()
  })
})

describe('changed config', () => {
  it('of the policy keeps cluster, hosts and pools', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2']))
    const target = registry.get('c')!
    const { hosts } = target
    let closed = 0
    for (const host of hosts)
      host.pools.set(
        'p',
        pool(() => closed++),
      )
    registry.apply(cluster('c', { lbPolicy: ringHash }))
    expect(registry.get('c')).toBe(target)
    expect(target.hosts).toBe(hosts)
    expect(closed).toBe(0)
    const ctx = context(seeded(1), { hash: 77n })
    expect(histogram(() => target.pick(ctx), 20).size).toBe(1)
  })

  it('of how HTTP is spoken closes pools gracefully; of TLS not, since pools are keyed by what was verified', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const target = registry.get('c')!
    const closes: boolean[] = []
    target.hosts[0]!.pools.set(
      'p',
      pool(graceful => closes.push(graceful)),
    )
    const tls = { sni: 'x' } as UpstreamTls
    registry.apply(cluster('c', { tls }))
    expect(registry.get('c')).toBe(target)
    expect(target.config.tls).toBe(tls)
    expect(closes).toEqual([])
    registry.apply(cluster('c', { tls, http: { protocol: 'http2' } as Cluster['http'] }))
    expect(closes).toEqual([true])
  })

  it('of the EDS name waits for the new endpoints while the old version serves (make before break)', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const old = registry.get('c')!
    const closes: boolean[] = []
    old.hosts[0]!.pools.set(
      'p',
      pool(graceful => closes.push(graceful)),
    )
    registry.apply(
      cluster('c', { discovery: { kind: 'eds', serviceName: 'other', source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 } }),
    )
    expect(registry.get('c')).toBe(old)
    expect(edsNames(registry).sort()).toEqual(['c', 'other'])
    registry.applyAssignment(eds('other', ['10.0.0.9']))
    expect(registry.get('c')!.hosts[0]!.key).toBe('10.0.0.9:80')
    expect(closes).toEqual([true])
    expect(edsNames(registry)).toEqual(['other'])
  })

  it('of a health check begins anew with the endpoints that are known', () => {
    const { registry, clock } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const old = registry.get('c')!
    registry.apply(cluster('c', { healthChecks: [healthCheck({ kind: 'grpc', serviceName: '', authority: '', initialMetadata: [] })] }))
    // Without a transport the first check fails at once: the round is over and the new version serves.
    clock.advance(0)
    expect(registry.get('c')).not.toBe(old)
    expect(registry.get('c')!.hosts).toHaveLength(1)
    expect(registry.get('c')!.stats.main.membership_healthy.value).toBe(0)
  })

  it('of static endpoints keeps the hosts that stay', () => {
    const { registry } = testRegistry()
    registry.apply(staticCluster('c', [locality(manyEndpoints(3))]))
    const [first] = registry.get('c')!.hosts
    registry.apply(staticCluster('c', [locality(manyEndpoints(2))]))
    expect(registry.get('c')!.hosts).toHaveLength(2)
    expect(registry.get('c')!.hosts[0]).toBe(first)
  })

  it('that comes back while the new version warms drops the new version', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const old = registry.get('c')
    registry.apply(
      cluster('c', { discovery: { kind: 'eds', serviceName: 'other', source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 } }),
    )
    registry.apply(cluster('c'))
    expect(registry.warmingCount).toBe(0)
    expect(edsNames(registry)).toEqual(['c'])
    registry.applyAssignment(eds('other', ['10.0.0.9']))
    expect(registry.get('c')).toBe(old)
  })
})

describe('warming', () => {
  it('serves from the first endpoints on, an empty list included', () => {
    const { registry } = testRegistry()
    const warm: string[] = []
    registry.onWarm(each => warm.push(each.name))
    registry.apply(cluster('c'))
    expect(registry.get('c')).toBeUndefined()
    expect(registry.warmingCount).toBe(1)
    registry.applyAssignment(eds('c', []))
    expect(registry.get('c')!.pick(context(seeded(1)))).toBeNull()
    expect(warm).toEqual(['c'])
  })

  it('gives up waiting after initial_fetch_timeout; 0 waits for ever', () => {
    const { registry, clock } = testRegistry()
    registry.apply(withTimeout('short', 15_000))
    registry.apply(withTimeout('ever', 0))
    clock.advance(14_999)
    expect(registry.get('short')).toBeUndefined()
    clock.advance(1)
    expect(registry.get('short')!.hosts).toEqual([])
    expect(registry.get('short')!.stats.eds.init_fetch_timeout.value).toBe(1)
    clock.advance(10_000_000)
    expect(registry.get('ever')).toBeUndefined()
    registry.applyAssignment(eds('ever', ['10.0.0.1']))
    expect(registry.get('ever')!.hosts).toHaveLength(1)
    registry.applyAssignment(eds('short', ['10.0.0.2']))
    expect(registry.get('short')!.hosts).toHaveLength(1)
  })

  it('tells which EDS resources are wanted, and when that changes', () => {
    const { registry } = testRegistry()
    let changes = 0
    registry.onEdsNamesChange(() => changes++)
    registry.apply(cluster('a'))
    registry.apply(cluster('b', { discovery: { kind: 'eds', serviceName: 'svc', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 } }))
    registry.apply(cluster('b2', { discovery: { kind: 'eds', serviceName: 'svc', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 } }))
    registry.apply(
      cluster('f', {
        discovery: { kind: 'eds', serviceName: '', source: { kind: 'path', path: '/x', watchedDirectory: '' }, initialFetchTimeoutMs: 0 },
      }),
    )
    registry.apply(staticCluster('s', []))
    expect(edsNames(registry).sort()).toEqual(['a', 'svc'])
    expect(registry.edsSubscriptions()).toHaveLength(3)
    expect(changes).toBe(3)
    registry.applyAssignment(eds('svc', ['10.0.0.1']))
    expect([registry.get('b')!.hosts.length, registry.get('b2')!.hosts.length]).toEqual([1, 1])
    registry.remove('b')
    expect(changes).toBe(3)
    registry.remove('b2')
    expect(changes).toBe(4)
    expect(edsNames(registry)).toEqual(['a'])
  })

  it('drops endpoints that grow stale (endpoint_stale_after)', () => {
    const { registry, clock } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment({ ...eds('c', ['10.0.0.1']), endpointStaleAfterMs: 1_000 })
    clock.advance(900)
    registry.applyAssignment({ ...eds('c', ['10.0.0.1']), endpointStaleAfterMs: 1_000 })
    clock.advance(900)
    expect(registry.get('c')!.hosts).toHaveLength(1)
    clock.advance(100)
    expect(registry.get('c')!.hosts).toEqual([])
    expect(registry.get('c')!.stats.main.assignment_stale.value).toBe(1)
  })
})

describe('10,000 clusters', () => {
  it('are applied, warmed and removed without work that grows with their square', () => {
    const { registry, store } = testRegistry()
    let changes = 0
    registry.onEdsNamesChange(() => changes++)
    const count = 10_000
    for (let i = 0; i < count; i++) registry.apply(cluster(`c${i}`))
    expect([edsNames(registry).length, registry.warmingCount, changes]).toEqual([count, count, count])
    for (let i = 0; i < count; i++) registry.applyAssignment(eds(`c${i}`, ['10.0.0.1']))
    expect(registry.warmingCount).toBe(0)
    expect(store.counter('cluster.c7.update_success').value).toBe(1)
    for (let i = 0; i < count; i++) registry.remove(`c${i}`)
    expect([edsNames(registry), registry.names()]).toEqual([[], []])
  })
})

describe('removal', () => {
  it('keeps serving while an active route names the cluster, until it does not', () => {
    const routes = new Set(['c'])
    const { registry } = testRegistry({ isReferenced: name => routes.has(name) })
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    registry.remove('c')
    expect(registry.get('c')!.pick(context(seeded(1)))).not.toBeNull()
    expect(registry.get('c')!.removed).toBe(true)
    expect(registry.names()).toEqual([])
    registry.releaseUnreferenced()
    expect(registry.get('c')).toBeDefined()
    routes.clear()
    const gone: string[] = []
    registry.onRemoved(name => gone.push(name))
    registry.releaseUnreferenced()
    expect(registry.get('c')).toBeUndefined()
    expect(gone).toEqual(['c'])
  })

  it('ends after the grace even while named, with a line in the log', () => {
    const { registry, clock, logs } = testRegistry({ isReferenced: () => true, removalGraceMs: 5_000 })
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const closes: boolean[] = []
    registry.get('c')!.hosts[0]!.pools.set(
      'p',
      pool(graceful => closes.push(graceful)),
    )
    registry.remove('c')
    clock.advance(4_999)
    expect(registry.get('c')).toBeDefined()
    expect(closes).toEqual([])
    clock.advance(1)
    expect(registry.get('c')).toBeUndefined()
    expect(closes).toEqual([true])
    expect(logs.at(-1)).toMatch(/cluster c: removed, and its grace is over/)
  })

  it('takes a removed cluster that comes back unchanged as it was', () => {
    const { registry, clock } = testRegistry({ isReferenced: () => true })
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    const target = registry.get('c')
    registry.remove('c')
    registry.apply(cluster('c'))
    clock.advance(1_000_000)
    expect(registry.get('c')).toBe(target)
    expect(registry.names()).toEqual(['c'])
    expect(edsNames(registry)).toEqual(['c'])
  })

  it('removes at once what no route names, and what never got warm', () => {
    const { registry, clock } = testRegistry()
    registry.apply(cluster('c'))
    registry.remove('c')
    registry.remove('unknown')
    expect(registry.names()).toEqual([])
    registry.apply(staticCluster('s', [locality(manyEndpoints(1))]))
    registry.remove('s')
    expect(registry.get('s')).toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  it('leaves static clusters alone', () => {
    const { registry } = testRegistry()
    expect(registry.apply(staticCluster('s', [locality(manyEndpoints(1))]), true)).toBeNull()
    expect(registry.apply(staticCluster('s', []))).toMatch(/static/)
    registry.remove('s')
    expect(registry.get('s')!.hosts).toHaveLength(1)
  })

  it('leaves no timer behind', () => {
    const { registry, clock } = testRegistry({ isReferenced: () => true })
    registry.apply(withTimeout('a', 15_000))
    registry.apply(cluster('b'))
    registry.applyAssignment(eds('b', ['10.0.0.1']))
    registry.remove('b')
    registry.close()
    expect(clock.pending).toBe(0)
  })
})

describe('host set changes', () => {
  it('closes the pools of hosts that leave, and of all with close_connections_on_host_set_change', () => {
    const run = (closeAll: boolean): string[] => {
      const { registry } = testRegistry()
      registry.apply(cluster('c', { closeConnectionsOnHostSetChange: closeAll }))
      registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2']))
      const closed: string[] = []
      for (const host of registry.get('c')!.hosts)
        host.pools.set(
          'p',
          pool(graceful => closed.push(`${host.key} ${graceful}`)),
        )
      registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.3']))
      return closed
    }
    expect(run(false)).toEqual(['10.0.0.2:80 true'])
    expect(run(true)).toEqual(['10.0.0.2:80 true', '10.0.0.1:80 true'])
  })

  it('forgets a closed pool of a host that stays, so that the next request makes one, and keeps that of a host that left', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(eds('c', ['10.0.0.1', '10.0.0.2']))
    const [stays, leaves] = registry.get('c')!.hosts
    for (const host of [stays!, leaves!])
      host.pools.set(
        'p',
        pool(() => {}),
      )
    registry.apply(cluster('c', { connectTimeoutMs: 1_234 }))
    expect([stays!.pools.size, leaves!.pools.size]).toEqual([0, 0])
    for (const host of [stays!, leaves!])
      host.pools.set(
        'p',
        pool(() => {}),
      )
    registry.applyAssignment(eds('c', ['10.0.0.1']))
    expect([stays!.pools.size, leaves!.pools.size]).toEqual([1, 1])
    expect(registry.get('c')!.hosts).toEqual([stays])
  })
})

it('counts what is configured, whatever came before', () => {
  const referenced = new Set<string>()
  const { registry } = testRegistry({ isReferenced: name => referenced.has(name) })
  const random = seeded(7)
  const names = ['a', 'b', 'c']
  for (let turn = 0; turn < 500; turn++) {
    const name = names[Math.floor(random() * names.length)]!
    switch (Math.floor(random() * 6)) {
      case 0:
        registry.apply(cluster(name))
        break
      case 1:
        registry.apply(staticCluster(name, [locality([endpoint('10.0.0.1', 80)])]))
        break
      case 2:
        registry.applyAssignment(eds(name, ['10.0.0.2']))
        break
      case 3:
        registry.remove(name)
        break
      case 4:
        referenced.add(name)
        break
      case 5:
        referenced.delete(name)
        registry.releaseUnreferenced()
    }
    expect(registry.configuredCount, `turn ${turn}`).toBe(registry.names().length)
  }
})
