import { describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import type { CatalogChange } from '../../../src/control/catalog/catalog-types.js'
import { parseCheckDefinition } from '../../../src/control/catalog/check-definition.js'
import { parseServiceDefinition, type Registration } from '../../../src/control/catalog/service-definition.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'

const PORTS = { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_002 }

function parse(definition: unknown, strict = true): Registration {
  const parsed = parseServiceDefinition(definition, { strict })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  return parsed.value
}

function errorsOf(definition: unknown, strict = true): string[] {
  const parsed = parseServiceDefinition(definition, { strict })
  return parsed.ok ? [] : parsed.errors.map(({ path, reason }) => `${path}: ${reason}`)
}

describe('parseServiceDefinition', () => {
  it('gives a sidecar Consul’s defaults', () => {
    const { sidecar } = parse({
      ID: 'api-v1',
      Name: 'api',
      Port: 9002,
      Tags: ['t'],
      Meta: { version: 'v1' },
      Connect: { SidecarService: {} },
    })
    expect(sidecar).toMatchObject({
      ID: 'api-v1-sidecar-proxy',
      Service: 'api-sidecar-proxy',
      Kind: 'connect-proxy',
      Port: 0,
      Tags: ['t'],
      Meta: { version: 'v1' },
      Proxy: { DestinationServiceName: 'api', DestinationServiceID: 'api-v1', LocalServiceAddress: '127.0.0.1', LocalServicePort: 9002 },
      LocallyRegisteredAsSidecar: true,
    })
  })

  it('gives a sidecar the address and the socket of its service, and names an address by its family', () => {
    const { instance, sidecar } = parse({
      Name: 'api',
      Port: 9002,
      Address: '10.0.0.7',
      TaggedAddresses: { wan_ipv4: { Address: '198.51.100.7', Port: 1 } },
      Locality: { Region: 'eu', Zone: 'a' },
      Connect: { SidecarService: { Port: 20_000 } },
    })
    expect(instance.TaggedAddresses).toEqual({
      lan_ipv4: { Address: '10.0.0.7', Port: 9002 },
      wan_ipv4: { Address: '198.51.100.7', Port: 1 },
    })
    expect(instance.Locality).toEqual({ Region: 'eu', Zone: 'a' })
    expect(sidecar).toMatchObject({ Address: '10.0.0.7', TaggedAddresses: { lan_ipv4: { Address: '10.0.0.7', Port: 20_000 } } })
    const six = parse({ Name: 'six', Port: 6, Address: '2001:db8::6', SocketPath: '/run/six', Connect: { SidecarService: { Port: 1 } } })
    expect(Object.keys(six.instance.TaggedAddresses)).toEqual(['lan_ipv6', 'wan_ipv6'])
    expect(six.sidecar!.Proxy).toMatchObject({ LocalServiceSocketPath: '/run/six', LocalServiceAddress: '', LocalServicePort: 0 })
  })

  it('takes both spellings alike, and leaves the user’s own keys alone', () => {
    const camel = parse({
      Name: 'web',
      Port: 1,
      Meta: { my_key: '1', MyKey: '2' },
      Connect: {
        SidecarService: {
          Proxy: { Config: { local_connect_timeout_ms: 5 }, Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191 }] },
        },
      },
      Check: { HTTP: 'http://127.0.0.1:1/', Interval: '5s', DeregisterCriticalServiceAfter: '2m' },
    })
    const snake = parse({
      name: 'web',
      port: 1,
      meta: { my_key: '1', MyKey: '2' },
      connect: {
        sidecar_service: {
          proxy: { config: { local_connect_timeout_ms: 5 }, upstreams: [{ destination_name: 'api', local_bind_port: 9191 }] },
        },
      },
      check: { http: 'http://127.0.0.1:1/', interval: '5s', deregister_critical_service_after: '2m' },
    })
    expect(snake).toEqual(camel)
    expect(camel.instance.Meta).toEqual({ my_key: '1', MyKey: '2' })
    expect(camel.sidecar!.Proxy!.Upstreams[0]).toMatchObject({ LocalBindAddress: '127.0.0.1', LocalBindPort: 9191 })
    expect(camel.checks[0]).toMatchObject({ CheckID: 'service:web', Type: 'http', intervalMs: 5_000, deregisterAfterMs: 120_000 })
  })

  it.each([
    [{}, 'Name: missing'],
    [{ Name: 'a/b' }, 'Name: must be 1 to 128 letters, digits, ".", "_" or "-"'],
    [{ Name: 'a', Port: 70_000 }, 'Port: must be an integer from 0 to 65535'],
    [{ Name: 'a', name: 'b' }, 'name: given twice (also as Name)'],
    [{ Name: 'a', Prot: 1 }, 'Prot: unknown field'],
    [{ Name: 'a', Kind: 'proxy' }, 'Kind: "proxy" is not supported (only a connect-proxy, a gateway, or none)'],
    [{ Name: 'a', Kind: 'terminating-gateway' }, 'Port: must be non-zero for a terminating-gateway'],
    [
      { Name: 'a', Kind: 'terminating-gateway', Port: 1, Proxy: { DestinationServiceName: 'b' } },
      'Proxy.DestinationServiceName: is invalid for a terminating-gateway',
    ],
    [{ Name: 'a', Kind: 'connect-proxy', Port: 1 }, 'Proxy.DestinationServiceName: must be non-empty for Connect proxy services'],
    [{ Name: 'a', Weights: { Passing: 0 } }, 'Weights.Passing: must be an integer from 1 to 65535'],
    [{ Name: 'a', Ports: [{ Name: 'x', Port: 1 }] }, 'Ports: several ports of one service are not supported'],
    [{ Name: 'a', Meta: { 'a b': '1' } }, 'Meta.a b: key contains invalid characters (letters, digits, "_" and "-" are valid)'],
    [{ Name: 'a', Meta: { k: 'v'.repeat(513) } }, 'Meta.k: value is too long (limit 512 characters)'],
    [{ Name: 'a', Namespace: 'team' }, 'Namespace: "team" is not supported (only default)'],
    [{ Name: 'a', Check: { Interval: '5s' } }, 'Check: TTL must be > 0 for TTL checks, and nothing says that it is another'],
    [
      { Name: 'a', Check: { HTTP: 'http://127.0.0.1:1/', TCP: '127.0.0.1:1', Interval: '5s' } },
      'Check: exactly one of HTTP, TCP, UDP, GRPC, H2PING, Args, TTL, AliasService and AliasNode must be set',
    ],
    ...[{ HTTP: 'http://127.0.0.1:1/' }, { TCP: 'h:1' }, { UDP: 'h:1' }, { GRPC: 'h:1', Interval: '0s' }, { H2PING: 'h:1' }].map(
      Check =>
        [{ Name: 'a', Check }, 'Check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks'] as [object, string],
    ),
    [
      { Name: 'a', Check: { TTL: '1s', FailuresBeforeWarning: 3, FailuresBeforeCritical: 2 } },
      "Check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ],
    [{ Name: 'a', Check: { TTL: 'soon' } }, 'Check.TTL: must be a duration such as 10s, of at most 24 days'],
    [
      { Name: 'a', Check: { Args: ['true'], Interval: '1s' } },
      'Check.Args: Scripts are disabled on this agent; they run from local files with --enable-local-script-checks',
    ],
    [{ Name: 'a', Check: { DockerContainerID: 'c', TTL: '1s' } }, 'Check.DockerContainerID: checks of this kind are not run here'],
    [{ Name: 'a', Check: { OSService: 'nginx', TTL: '1s' } }, 'Check.OSService: checks of this kind are not run here'],
    [{ Name: 'a', Check: { GRPC: 'here', Interval: '1s' } }, 'Check.GRPC: must be host:port'],
    [{ Name: 'a', Check: { UDP: 'here', Interval: '1s' } }, 'Check.UDP: must be host:port'],
    [{ Name: 'a', Check: { H2PING: 'here:1/x', Interval: '1s' } }, 'Check.H2PING: must be host:port'],
    [
      { Name: 'a', Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'b' }] } } } },
      'Connect.SidecarService.Proxy.Upstreams[0].LocalBindPort: LocalBindPort or LocalBindSocketPath must be set',
    ],
    [
      {
        Name: 'a',
        Connect: {
          SidecarService: {
            Proxy: {
              Upstreams: [
                { DestinationName: 'b', LocalBindPort: 1 },
                { DestinationName: 'c', LocalBindPort: 1 },
              ],
            },
          },
        },
      },
      'Connect.SidecarService.Proxy.Upstreams[1]: binds 127.0.0.1:1, which Upstreams[0] has already',
    ],
    [
      { Name: 'a', Connect: { SidecarService: { Proxy: { Mode: 'hidden', MutualTLSMode: 'loose' } } } },
      'Connect.SidecarService.Proxy.Mode: must be direct or transparent',
    ],
  ])('refuses %j', (definition, message) => {
    expect(errorsOf(definition)).toContain(message)
  })

  it('ignores unknown fields where stock clients send them', () => {
    expect(errorsOf({ Name: 'a', Prot: 1 }, false)).toEqual([])
  })
})

describe('Catalog', () => {
  it('picks free sidecar ports, keeps them over re-registration, and says when none is left', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    const service = (name: string, port = 1) => parse({ Name: name, Port: port, Connect: { SidecarService: {} } })
    for (const name of ['a', 'b', 'c']) expect((await catalog.register(service(name))).ok).toBe(true)
    expect(catalog.instance('b-sidecar-proxy')!.Port).toBe(21_001)
    expect(await catalog.register(service('d'))).toEqual({
      ok: false,
      errors: [{ path: 'Connect.SidecarService.Port', reason: 'none left in the range 21000-21002' }],
    })
    expect(catalog.instance('d')).toBeUndefined()
    await catalog.deregister('a')
    expect((await catalog.register(service('b', 2))).ok).toBe(true)
    expect(catalog.instance('b-sidecar-proxy')!.Port).toBe(21_001)
    expect((await catalog.register(service('d'))).ok).toBe(true)
    expect(catalog.instance('d-sidecar-proxy')!.Port).toBe(21_000)
  })

  it('removes the sidecar with its service, and the one that a new registration no longer has', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    await catalog.register(parse({ Name: 'a', Port: 1, Connect: { SidecarService: {} } }))
    await catalog.register(parse({ Name: 'a', Port: 1 }))
    expect([...catalog.instances()].map(({ ID }) => ID)).toEqual(['a'])
    await catalog.register(parse({ Name: 'a', Port: 1, Connect: { SidecarService: {} } }))
    expect(await catalog.deregister('a')).toBe(true)
    expect([...catalog.instances()]).toEqual([])
    expect(await catalog.deregister('a')).toBe(false)
  })

  it('changes no index and tells nobody when a registration says what is there already', async () => {
    const store = new MemoryStore()
    const catalog = await Catalog.open(store, PORTS)
    const registration = parse({ Name: 'a', Port: 1, Check: { TTL: '1h' }, Connect: { SidecarService: {} } })
    await catalog.register(registration)
    const { index } = store
    const changes: CatalogChange[] = []
    catalog.onChange(change => changes.push(change))
    expect(await catalog.register(registration)).toEqual({ ok: true, changed: false })
    expect(await catalog.register(parse({ Name: 'a', Port: 1, Check: { TTL: '1h' }, Connect: { SidecarService: {} } }))).toEqual({
      ok: true,
      changed: false,
    })
    expect([store.index, changes]).toEqual([index, []])
  })

  it('tells which services and proxies a change concerns', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    const changes: CatalogChange[] = []
    catalog.onChange(change => changes.push(change))
    await catalog.register(parse({ Name: 'a', Port: 1, Check: { CheckID: 'c', TTL: '1h' }, Connect: { SidecarService: {} } }))
    await catalog.setCheckStatus('c', 'passing', 'fine')
    expect(changes.map(({ services, proxies }) => [[...services].sort(), [...proxies]])).toEqual([
      [['a', 'a-sidecar-proxy'], ['a-sidecar-proxy']],
      [['a', 'a-sidecar-proxy'], []],
    ])
    expect(changes.map(({ instances, checks }) => [[...instances], [...checks]])).toEqual([
      [['a', 'a-sidecar-proxy'], ['c']],
      [['a', 'a-sidecar-proxy'], ['c']],
    ])
  })

  it('takes the worst of an instance’s checks, and of its sidecar’s those of the service as well', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    await catalog.register(
      parse({
        Name: 'a',
        Port: 1,
        Checks: [
          { CheckID: 'one', TTL: '1h', Status: 'passing' },
          { CheckID: 'two', TTL: '1h', Status: 'warning' },
        ],
        Connect: { SidecarService: {} },
      }),
    )
    const health = (id: string) => catalog.health(catalog.instance(id)!)
    expect([health('a'), health('a-sidecar-proxy')]).toEqual(['warning', 'warning'])
    await catalog.setCheckStatus('one', 'critical', '')
    expect(health('a-sidecar-proxy')).toBe('critical')
    await catalog.deregisterCheck('one')
    await catalog.deregisterCheck('two')
    expect(health('a-sidecar-proxy')).toBe('passing')
  })

  it('keeps statuses over a restart and a re-registration, so that neither takes anyone out of service', async () => {
    const store = new MemoryStore()
    const catalog = await Catalog.open(store, PORTS)
    const definition = (interval: string) => parse({ Name: 'a', Port: 1, Check: { CheckID: 'c', TCP: 'localhost:1', Interval: interval } })
    await catalog.register(definition('5s'))
    expect(catalog.check('c')!.status).toBe('critical')
    await catalog.setCheckStatus('c', 'passing', 'ok')
    await catalog.register(definition('6s'))
    expect(catalog.check('c')!.status).toBe('passing')
    expect((await Catalog.open(store, PORTS)).check('c')).toMatchObject({
      status: 'passing',
      output: 'ok',
      definition: { intervalMs: 6_000 },
    })
  })

  it('gives a sidecar Consul’s checks where its registration names none', async () => {
    const catalog = await Catalog.open(new MemoryStore(), { ...PORTS, defaultSidecarChecks: true })
    await catalog.register(parse({ ID: 'a1', Name: 'a', Port: 1, Connect: { SidecarService: {} } }))
    const sidecar = catalog.instance('a1-sidecar-proxy')!
    expect(catalog.health(sidecar)).toBe('critical')
    expect(catalog.checksOf(sidecar).map(({ definition }) => definition)).toMatchObject([
      { CheckID: 'service:a1-sidecar-proxy:1', Name: 'Connect Sidecar Listening', Type: 'tcp', TCP: '127.0.0.1:21000', intervalMs: 10_000 },
      { CheckID: 'service:a1-sidecar-proxy:2', Name: 'Connect Sidecar Aliasing a1', Type: 'alias', AliasService: 'a1' },
    ])
    const own = { Check: { CheckID: 'own', TTL: '1h' }, Address: '::1' }
    await catalog.register(parse({ ID: 'b1', Name: 'b', Port: 1, Connect: { SidecarService: own } }))
    expect(catalog.checksOf(catalog.instance('b1-sidecar-proxy')!).map(({ definition }) => definition.CheckID)).toEqual(['own'])
  })

  it('counts a check of the node for every instance', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    await catalog.register(parse({ Name: 'a', Port: 1 }))
    const check = parseCheckDefinition({ Name: 'disk', TTL: '1h', Status: 'passing' })
    expect(check.ok && (await catalog.registerCheck(check.value))).toEqual({ ok: true, changed: true })
    const changes: CatalogChange[] = []
    catalog.onChange(change => changes.push(change))
    await catalog.setCheckStatus('disk', 'critical', 'full')
    expect(catalog.health(catalog.instance('a')!)).toBe('critical')
    expect([...changes[0]!.services]).toEqual(['a'])
  })

  it('drops checks that a registration no longer names only when asked to', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    await catalog.register(parse({ Name: 'a', Port: 1, Check: { CheckID: 'c', TTL: '1h' } }))
    await catalog.register(parse({ Name: 'a', Port: 1 }))
    expect(catalog.check('c')).toBeDefined()
    await catalog.register(parse({ Name: 'a', Port: 1 }), true)
    expect(catalog.check('c')).toBeUndefined()
  })

  it('refuses ids that belong to others', async () => {
    const catalog = await Catalog.open(new MemoryStore(), PORTS)
    await catalog.register(parse({ Name: 'a', Port: 1, Check: { CheckID: 'c', TTL: '1h' } }))
    expect(await catalog.register(parse({ Name: 'b', Port: 1, Check: { CheckID: 'c', TTL: '1h' } }))).toMatchObject({ ok: false })
    expect(await catalog.register(parse({ Name: 'b', Port: 1, Connect: { SidecarService: { ID: 'a' } } }))).toMatchObject({ ok: false })
    const check = parseCheckDefinition({ Name: 'x', ServiceID: 'nobody', TTL: '1s' })
    expect(check.ok && (await catalog.registerCheck(check.value))).toMatchObject({ ok: false })
    expect([...catalog.instances()].map(({ ID }) => ID)).toEqual(['a'])
  })
})

describe('registrations that come at once', () => {
  it('share transactions, each as if it were alone: ports, addresses, refusals, and the order of what is about one id', async () => {
    const store = new MemoryStore()
    const catalog = await Catalog.open(store, { ...PORTS, sidecarMaxPort: 21_099 })
    const before = store.index
    const results = await Promise.all([
      ...Array.from({ length: 20 }, (_, i) => catalog.register(parse({ Name: `s${i}`, Port: 80, Connect: { SidecarService: {} } }))),
      catalog.register(parse({ Name: 'S3', ID: 'other', Port: 81 })),
      catalog.register(parse({ Name: 'own-port', Port: 21_020, Connect: { SidecarService: {} } })),
      catalog.register(parse({ Name: 's0', Port: 82, Connect: { SidecarService: {} } })),
    ])
    expect(results.filter(({ ok }) => !ok)).toEqual([
      { ok: false, errors: [{ path: 'Name', reason: '"S3" differs from the service "s3" in case alone' }] },
    ])
    expect(store.index - before).toBeLessThan(5)
    const ports = [...catalog.instances()].filter(({ Kind }) => Kind === 'connect-proxy').map(({ Port }) => Port)
    expect(new Set(ports).size).toBe(21)
    expect(ports).not.toContain(21_020)
    expect(new Set(Array.from({ length: 20 }, (_, i) => catalog.virtualIps.of(`s${i}`))).size).toBe(20)
    expect(catalog.instance('s0')?.Port).toBe(82)
  })

  it('one whose id is that of a sidecar that another one drops is there in the end, whichever comes first', async () => {
    for (const isFirst of [true, false]) {
      const catalog = await Catalog.open(new MemoryStore(), PORTS)
      await catalog.register(parse({ Name: 'a', Port: 1, Connect: { SidecarService: {} } }))
      const own = { Name: 'b', ID: 'a-sidecar-proxy', Port: 2 }
      const dropping = { Name: 'a', Port: 1 }
      const both = isFirst ? [own, dropping] : [dropping, own]
      await Promise.all(both.map(one => catalog.register(parse(one))))
      expect(catalog.instance('a-sidecar-proxy')?.Service).toBe('b')
    }
  })

  it('fail together where nothing can be written, and go on afterwards', async () => {
    const store = new MemoryStore()
    const catalog = await Catalog.open(store, PORTS)
    const { exclusive } = store
    store.exclusive = () => Promise.reject(new Error('no room'))
    const two = ['a', 'b'].map(Name => catalog.register(parse({ Name, Port: 80 })))
    for (const result of await Promise.allSettled(two)) expect(result).toMatchObject({ status: 'rejected', reason: { message: 'no room' } })
    store.exclusive = exclusive
    expect(await catalog.register(parse({ Name: 'c', Port: 80 }))).toEqual({ ok: true, changed: true })
    expect([...catalog.serviceNames()]).toEqual(['c'])
  })
})
