// Which routes bind to which listeners, and what the status of each entry says of it.
import { describe, expect, it } from 'vitest'
import type { ApiGateway, HttpRoute } from '../../../src/control/config-entries/edge-types.js'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { bindGateway, type Condition, type Route, routeConditions } from '../../../src/control/gateways/api-gateway-binding.js'
import { EntryStatus, type GatewayProgress } from '../../../src/control/gateways/entry-status.js'
import { intersectHosts, narrowestFor } from '../../../src/control/gateways/host-names.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { AnyCa } from '../../support/mesh-certificates.js'

const ca = new AnyCa()
const LEAF = ca.leaf({ dns: ['*.example.com'] })
const certificate = (name: string, shape = {}): object => {
  const { cert, key } = ca.leaf({ dns: ['*.example.com'], ...shape })
  return { Kind: 'inline-certificate', Name: name, Certificate: cert, PrivateKey: key }
}
const http = (Name: string): object => ({ Kind: 'service-defaults', Name, Protocol: 'http' })
const gateway = (...Listeners: object[]): object => ({ Kind: 'api-gateway', Name: 'edge', Listeners })
const route = (Name: string, more: object = {}): object => ({
  Kind: 'http-route',
  Name,
  Parents: [{ Name: 'edge' }],
  Rules: [{ Services: [{ Name: 'web' }] }],
  ...more,
})
const tcpRoute = (Name: string, service: string): object => ({
  Kind: 'tcp-route',
  Name,
  Parents: [{ Name: 'edge' }],
  Services: [{ Name: service }],
})

const NOTHING: GatewayProgress = { Status: 'Unknown', Reason: 'Pending', Message: 'none' }

async function table(...entries: object[]): Promise<ConfigEntryTable> {
  const made = await ConfigEntryTable.open(new MemoryStore(), { datacenter: 'dc1', trustDomain: 'td.consul' })
  for (const entry of entries) expect(await made.put(entry)).toMatchObject({ ok: true })
  return made
}

const said = (conditions: readonly Condition[]): string[] =>
  conditions.map(({ Type, Status, Reason, Resource }) =>
    [Type, Status, Reason, Resource?.SectionName ?? Resource?.Name ?? ''].join(' ').trim(),
  )

function ofRoute(entries: ConfigEntryTable, name: string, kind: 'http-route' | 'tcp-route' = 'http-route'): Condition[] {
  return routeConditions(entries.get(kind, name) as Route, entries)
}
const ofGateway = (entries: ConfigEntryTable) => bindGateway(entries.get('api-gateway', 'edge') as ApiGateway, entries)

describe('host names of a listener and a route', () => {
  it.each([
    [undefined, undefined, ['*']],
    ['a.example.com', undefined, ['a.example.com']],
    [undefined, ['a.example.com'], ['a.example.com']],
    ['*.example.com', ['a.example.com', 'a.other.com'], ['a.example.com']],
    ['*.example.com', ['example.com'], []],
    ['*.example.com', ['deep.a.example.com'], ['deep.a.example.com']],
    ['a.example.com', ['*.example.com'], ['a.example.com']],
    ['*.example.com', ['*.a.example.com'], ['*.a.example.com']],
    ['*.a.example.com', ['*.example.com'], ['*.a.example.com']],
    ['A.example.com', ['a.Example.com'], ['a.example.com']],
    ['a.example.com', ['b.example.com'], []],
  ])('%s and %j have in common %j', (listener, hosts, common) => {
    expect(intersectHosts(listener, hosts)).toEqual(common)
  })
})

describe('a host name of several listeners', () => {
  const names = new Set(['*', '*.com', '*.example.com', 'a.example.com', '*.b.example.com'])
  it.each([
    ['a.example.com', 'a.example.com'],
    ['b.example.com', '*.example.com'],
    ['x.b.example.com', '*.b.example.com'],
    ['*.b.example.com', '*.b.example.com'],
    ['*.c.example.com', '*.example.com'],
    ['*.x.a.example.com', '*.example.com'],
    ['example.com', '*.com'],
    ['com', '*'],
    ['*', '*'],
  ])('%s is that of %s', (host, owner) => {
    expect(narrowestFor(host, names)).toBe(owner)
  })

  it("is nobody's where none means it", () => {
    expect(narrowestFor('b.com', new Set(['a.com', '*.b.com']))).toBeUndefined()
  })
})

describe('names of the mesh', () => {
  const open = async (ownDomains: readonly string[]) =>
    ConfigEntryTable.open(new MemoryStore(), { datacenter: 'dc1', trustDomain: 'td.consul', ownDomains })
  const caught = (host: string, domain: string): object => ({
    ok: false,
    errors: [expect.objectContaining({ reason: `${JSON.stringify(host)} would catch the control plane's own names (${domain}.)` })],
  })
  const ingress = (host: string): object => ({
    Kind: 'ingress-gateway',
    Name: 'door',
    Listeners: [{ Port: 80, Protocol: 'http', Services: [{ Name: 'web', Hosts: [host] }] }],
  })

  it('are those of every DNS domain, and no gateway may take them', async () => {
    const entries = await open(['mesh.example', 'old.example'])
    for (const [host, domain] of [
      ['*.mesh.example', 'mesh.example'],
      ['*.Service.Mesh.Example', 'mesh.example'],
      ['*.node.dc1.old.example', 'old.example'],
    ] as const)
      for (const entry of [gateway({ Name: 'l', Port: 80, Hostname: host }), route('r', { Hostnames: [host] }), ingress(host)])
        expect(await entries.put(entry)).toEqual(caught(host, domain))
  })

  it('are those of consul where no domain is configured', async () => {
    const entries = await table()
    for (const host of ['*.consul', '*.Service.Consul'])
      expect(await entries.put(gateway({ Name: 'l', Port: 80, Hostname: host }))).toEqual(caught(host, 'consul'))
  })

  it('are not those of other domains, of zones above, single ones, nor those by which ingress gateways are found', async () => {
    const entries = await open(['mesh.example'])
    await entries.put(http('web'))
    for (const host of [
      '*.consul',
      '*.example',
      'web.mesh.example',
      '*.ingress.mesh.example',
      '*.ingress.dc1.mesh.example',
      '*.xmesh.example',
    ])
      expect(await entries.put(ingress(host)), host).toMatchObject({ ok: true })
  })
})

describe('conditions', () => {
  it('say that a gateway and its route are served', async () => {
    const entries = await table(gateway({ Name: 'l', Port: 80 }), http('web'), route('r'))
    expect(said(ofGateway(entries).conditions)).toEqual([
      'Accepted True Accepted',
      'Conflicted False NoConflict l',
      'ResolvedRefs True ResolvedRefs l',
    ])
    expect(said(ofRoute(entries, 'r'))).toEqual(['Accepted True Accepted', 'Bound True Bound edge'])
  })

  it('name a gateway that is not there', async () => {
    const entries = await table(http('web'), route('r'))
    expect(said(ofRoute(entries, 'r'))).toEqual(['Accepted True Accepted', 'Bound False GatewayNotFound edge'])
  })

  it('name a service of another protocol, which is not bound', async () => {
    const entries = await table(gateway({ Name: 'l', Port: 80 }), route('r'))
    expect(said(ofRoute(entries, 'r'))).toEqual(['Accepted False InvalidDiscoveryChain', 'Bound False FailedToBind edge'])
    expect(ofRoute(entries, 'r')[0]!.Message).toBe('service "web" has protocol tcp, a http-route needs http, http2 or grpc')
    expect(ofGateway(entries).listeners[0]!.httpRoutes).toEqual([])
  })

  it('name a route without services, and one whose host names are not those of the listener', async () => {
    const entries = await table(
      gateway({ Name: 'l', Port: 80, Hostname: '*.example.com' }),
      http('web'),
      route('empty', { Rules: [] }),
      route('elsewhere', { Hostnames: ['web.other.com'] }),
      route('nowhere', { Parents: [{ Name: 'edge', SectionName: 'x' }] }),
    )
    expect(said(ofRoute(entries, 'empty'))).toEqual(['Accepted False NoUpstreamServicesTargeted', 'Bound False FailedToBind edge'])
    expect(said(ofRoute(entries, 'elsewhere'))).toEqual(['Accepted True Accepted', 'Bound False FailedToBind edge'])
    expect(ofRoute(entries, 'nowhere')[1]!.Message).toBe('the gateway has no listener "x"')
  })

  it('name a second route of a TCP listener; the first stays', async () => {
    const entries = await table(gateway({ Name: 'l', Port: 80, Protocol: 'tcp' }), tcpRoute('one', 'db'), tcpRoute('two', 'db'))
    expect(said(ofGateway(entries).conditions)[1]).toBe('Conflicted True RouteConflict l')
    expect(said(ofRoute(entries, 'one', 'tcp-route'))[1]).toBe('Bound True Bound edge')
    expect(said(ofRoute(entries, 'two', 'tcp-route'))[1]).toBe('Bound False FailedToBind edge')
  })

  it('name a certificate that is not there, whose listener is then not served in clear text', async () => {
    const entries = await table(gateway({ Name: 'l', Port: 443, TLS: { Certificates: [{ Name: 'c' }] } }), http('web'), route('r'))
    expect(said(ofGateway(entries).conditions)).toEqual([
      'Accepted False InvalidCertificates',
      'Conflicted False NoConflict l',
      'ResolvedRefs False InvalidCertificateRef l',
    ])
    expect(ofGateway(entries).listeners).toEqual([])
    expect(ofRoute(entries, 'r')[1]!.Message).toBe('the listener is not served: see the status of the gateway')
  })

  it('name a certificate that has ended, and go on serving it', async () => {
    const ended = certificate('c', { fromMs: Date.now() - 7_200_000, untilMs: Date.now() - 3_600_000 })
    const entries = await table(gateway({ Name: 'l', Port: 443, TLS: { Certificates: [{ Name: 'c' }] } }), ended)
    expect(ofGateway(entries).conditions.at(-1)).toMatchObject({
      Type: 'ResolvedRefs',
      Reason: 'InvalidCertificateRef',
      Message: expect.stringMatching(/^inline-certificate "c" has ended: it was valid to /),
    })
    expect(ofGateway(entries).listeners[0]!.certificates).toHaveLength(1)
  })

  it('name a JWT provider that is not there, without which the listener is not served', async () => {
    const JWT = { Providers: [{ Name: 'idp' }] }
    const entries = await table(gateway({ Name: 'l', Port: 80, Override: { JWT } }), http('web'), route('r'))
    expect(said(ofGateway(entries).conditions)).toContain('ResolvedRefs False InvalidJWTProviderRef l')
    expect(ofGateway(entries).listeners).toEqual([])
  })

  it('are one of a type for each listener, with all that is wrong in it', async () => {
    const JWT = { Providers: [{ Name: 'idp' }] }
    const TLS = { Certificates: [{ Name: 'one' }, { Name: 'two' }] }
    const entries = await table(gateway({ Name: 'l', Port: 443, TLS, Override: { JWT } }))
    const { conditions } = ofGateway(entries)
    expect(said(conditions)).toEqual([
      'Accepted False InvalidJWTProviders',
      'Conflicted False NoConflict l',
      'ResolvedRefs False InvalidJWTProviderRef l',
    ])
    expect(conditions[0]!.Resource).toEqual({ Kind: '', Name: '', SectionName: '' })
    expect(conditions[2]!.Message).toBe(
      'inline-certificate "one" does not exist; inline-certificate "two" does not exist; JWT provider "idp" does not exist',
    )
  })
})

describe('listeners of one port', () => {
  it('leave a name to the narrowest of them, whichever stands first', async () => {
    const entries = await table(
      gateway(
        { Name: 'all', Port: 80 },
        { Name: 'wild', Port: 80, Hostname: '*.example.com' },
        { Name: 'exact', Port: 80, Hostname: 'a.example.com' },
        { Name: 'elsewhere', Port: 81 },
      ),
      http('web'),
      route('named', { Parents: [{ Name: 'edge', SectionName: 'all' }], Hostnames: ['a.example.com', 'b.example.com', 'c.org'] }),
      route('any'),
      route('lost', { Parents: [{ Name: 'edge', SectionName: 'wild' }], Hostnames: ['a.example.com'] }),
    )
    const hosts = ofGateway(entries).listeners.map(({ listener, httpRoutes }) => [
      listener.Name,
      httpRoutes.map(({ route: { Name }, hosts }) => `${Name} ${hosts}`),
    ])
    expect(hosts).toEqual([
      ['all', ['named c.org', 'any *']],
      ['wild', ['any *.example.com']],
      ['exact', ['any a.example.com']],
      ['elsewhere', ['any *']],
    ])
    expect(ofRoute(entries, 'lost')[1]).toMatchObject({
      Status: 'False',
      Reason: 'FailedToBind',
      Message: "none of its host names is one of the listener's (*.example.com) and of no narrower one on its port",
    })
  })
})

describe('what readers are shown', () => {
  const shown = async (progress: GatewayProgress): Promise<string[]> => {
    const TLS = { Certificates: [{ Name: 'gone' }] }
    const entries = await table(gateway({ Name: 'a', Port: 80 }, { Name: 'b', Port: 443, TLS }))
    const status = new EntryStatus(entries, name => (name === 'edge' ? progress : NOTHING))
    const { Status } = status.reader()(entries.get('api-gateway', 'edge')!) as { Status: { Conditions: Condition[] } }
    return said(Status.Conditions.filter(({ Type }) => Type === 'Programmed'))
  }

  it('tells whether the proxies have it, of each listener that is served', async () => {
    expect(await shown(NOTHING)).toEqual(['Programmed Unknown Pending', 'Programmed Unknown Pending a', 'Programmed False Invalid b'])
    expect(await shown({ Status: 'True', Reason: 'Programmed', Message: '' })).toEqual([
      'Programmed True Programmed',
      'Programmed True Programmed a',
      'Programmed False Invalid b',
    ])
  })
})

describe('a bound-api-gateway', () => {
  it('names of each service the routes that lead to it', async () => {
    const Services = (...names: string[]): object => ({ Rules: [{ Services: names.map(Name => ({ Name })) }] })
    const entries = await table(
      gateway({ Name: 'a', Port: 80 }, { Name: 'b', Port: 81, Protocol: 'tcp' }),
      http('web'),
      http('api'),
      route('r1', Services('web', 'api', 'web')),
      route('r2', Services('web')),
      route('unbound', { ...Services('api'), Parents: [{ Name: 'other' }] }),
      tcpRoute('t', 'db'),
    )
    const [r1, r2] = ['r1', 'r2'].map(Name => ({ Kind: 'http-route', Name }))
    expect(new EntryStatus(entries, () => NOTHING).boundNamed('edge')).toMatchObject({
      Services: { web: [r1, r2], api: [r1], db: [{ Kind: 'tcp-route', Name: 't' }] },
    })
  })
})

describe('weights of services', () => {
  const weights = (...given: (number | undefined)[]): number[] => {
    const Services = given.map((Weight, i) => ({ Name: `s${i}`, ...(Weight === undefined ? {} : { Weight }) }))
    const parsed = parseConfigEntry(route('r', { Rules: [{ Services }] }))
    if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors))
    return (parsed.entry as HttpRoute).Rules[0]!.Services.map(({ Weight }) => Weight)
  }

  it('are one where nothing is said, as clients in Go say it too; a zero beside others is a zero', () => {
    expect(weights(undefined)).toEqual([1])
    expect(weights(0)).toEqual([1])
    expect(weights(0, 0)).toEqual([1, 1])
    expect(weights(3, 0, undefined)).toEqual([3, 0, 1])
  })
})

describe('an entry that is wrong by itself', () => {
  const reasons = (entry: object): string[] => {
    const parsed = parseConfigEntry(entry)
    return 'errors' in parsed ? parsed.errors.map(({ path, reason }) => `${path}: ${reason}`) : []
  }
  it.each([
    [gateway(), 'Listeners: at least one is required'],
    [
      gateway({ Name: 'a', Port: 80 }, { Name: 'b', Port: 80 }),
      'Listeners[1].Hostname: every host on port 80 is taken by Listeners[0] already',
    ],
    [
      gateway({ Name: 'a', Port: 80 }, { Name: 'b', Port: 80, Protocol: 'tcp' }),
      'Listeners[1].Protocol: is tcp on port 80, on which Listeners[0] has http',
    ],
    [
      gateway({ Name: 'a', Port: 80, Protocol: 'tcp' }, { Name: 'b', Port: 80, Protocol: 'tcp' }),
      'Listeners[1].Port: 80 is the port of Listeners[0] already',
    ],
    [
      gateway(
        { Name: 'a', Port: 80, Hostname: 'a.com' },
        { Name: 'b', Port: 80, Hostname: 'b.com', TLS: { Certificates: [{ Name: 'c' }] } },
      ),
      'Listeners[1].TLS: port 80 has TLS in one of this and Listeners[0] only',
    ],
    [gateway({ Name: 'a', Port: 80 }, { Name: 'a', Port: 81 }), 'Listeners[1].Name: "a" occurs more than once'],
    [
      gateway({ Name: 'a', Port: 80, Hostname: 'a.*.com' }),
      'Listeners[0].Hostname: "a.*.com" is no host name (a wildcard stands for the first label alone)',
    ],
    [gateway({ Name: 'a', Port: 80, Protocol: 'tcp', Hostname: 'a.com' }), 'Listeners[0].Hostname: is for protocol http only'],
    [
      gateway({ Name: 'a', Port: 443, TLS: { MinVersion: 'TLSv1_3', MaxVersion: 'TLSv1_2' } }),
      'Listeners[0].TLS.MaxVersion: TLSv1_2 is less than MinVersion TLSv1_3',
    ],
    [{ ...certificate('c'), PrivateKey: ca.leaf({ dns: ['x'] }).key }, 'PrivateKey: does not belong to the certificate'],
    [
      { Kind: 'file-system-certificate', Name: 'f', Certificate: 'c.pem', PrivateKey: '/k.pem' },
      'Certificate: must be an absolute path on the machine of the gateway',
    ],
    [
      route('r', { Rules: [{ Matches: [{ Path: { Value: 'x' } }], Services: [{ Name: 'web' }] }] }),
      'Rules[0].Matches[0].Path.Value: does not start with "/": "x"',
    ],
    [
      gateway({ Name: 'a', Port: 80, Override: { JWT: { Providers: [{ Name: 'idp', VerifyClaims: [{ Value: 'x' }] }] } } }),
      'Listeners[0].Override.JWT.Providers[0].VerifyClaims[0].Path: is required',
    ],
    [gateway({ Name: 'no_label', Port: 80 }), 'Listeners[0].Name: "no_label" is no name of DNS labels'],
    [route('r', { Parents: [{ Name: 'edge' }, { Name: 'edge' }] }), 'Parents[1]: occurs more than once'],
    [
      {
        ...certificate('c'),
        Certificate: `${LEAF.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
        PrivateKey: LEAF.key,
      },
      expect.stringMatching(/^Certificate: certificate 2 of the chain is no PEM certificate: /),
    ],
    [
      { ...certificate('c'), Certificate: ca.pem + LEAF.cert, PrivateKey: LEAF.key },
      'PrivateKey: belongs to certificate 2 of the chain: that of the server comes first',
    ],
    [
      {
        Kind: 'ingress-gateway',
        Name: 'i',
        Listeners: [
          {
            Port: 80,
            Protocol: 'http',
            Services: [
              { Name: 'a', Hosts: ['a.com'] },
              { Name: 'b', Hosts: ['A.com'] },
            ],
          },
        ],
      },
      'Listeners[0].Services[1].Hosts[0]: "A.com" occurs more than once',
    ],
    [{ ...tcpRoute('t', 'db'), Services: [{ Name: 'a' }, { Name: 'b' }] }, 'Services: at most one: a connection has no rules to choose by'],
  ])('%j', (entry, reason) => {
    expect(reasons(entry)).toContainEqual(reason)
  })

  it.each([
    gateway({ Name: 'http.public', Port: 80 }),
    gateway({ Name: 'a', Port: 80, Hostname: '*.ingress.consul' }),
    gateway({ Name: 'a', Port: 80, Hostname: '*.ingress.dc1.consul' }),
    gateway({ Name: 'a', Port: 80, Hostname: '*.myconsul' }),
  ])('but %j is not', entry => {
    expect(reasons(entry)).toEqual([])
  })
})
