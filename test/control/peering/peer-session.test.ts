// A peering stream between two sessions without a network: what is said at the beginning, again after a loss, and of what is not understood.
import { afterEach, describe, expect, it } from 'vitest'
import { hashOf } from '../../../src/control/peering/exported-services.js'
import { MAX_MESSAGE_BYTES, type PeerMessage, readMessage } from '../../../src/control/peering/peer-messages.js'
import { PeerSession, type SessionSource } from '../../../src/control/peering/peer-session.js'
import type { ExportedService } from '../../../src/control/peering/peering-types.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { until } from '../../support/proxy-process.js'

const bundle = { trustDomain: 'east.consul', rootPems: [new AnyCa('east').pem] }

function service(name: string, port = 1): ExportedService {
  const way = {
    id: name,
    kind: 'connect-proxy',
    name,
    tags: [],
    meta: {},
    address: '10.0.0.1',
    port,
    weights: { Passing: 1, Warning: 1 },
    status: 'passing' as const,
    node: { id: '', name: 'n', address: '10.0.0.1' },
  }
  const spiffeIds = [`spiffe://east.consul/ns/default/dc/dc1/svc/${name}`]
  return { name, protocol: 'http', sni: `${name}.sni`, spiffeIds, instances: [], ways: [way] }
}

class Side {
  readonly sent: PeerMessage[] = []
  readonly taken: PeerMessage[] = []
  readonly problems: string[] = []
  ended: string | undefined
  exports: ExportedService[] = []
  have: Record<string, string> = {}
  failing = false
  readonly session: PeerSession

  constructor(before: Partial<Pick<Side, 'exports' | 'have'>> = {}) {
    Object.assign(this, before)
    const source: SessionSource = {
      datacenter: 'dc1',
      bundle: () => bundle,
      exports: () => this.exports,
      servers: () => undefined,
      have: () => this.have,
      greeted: () => {},
      take: async message => {
        if (this.failing) throw new Error('the disk is full')
        this.taken.push(message)
      },
      onProblem: reason => this.problems.push(reason),
    }
    this.session = new PeerSession(
      {
        send: message => this.sent.push(JSON.parse(JSON.stringify(message)) as PeerMessage),
        end: reason => {
          this.ended = reason
        },
      },
      source,
    )
  }

  hear(json: object, bytes = JSON.stringify(json).length): void {
    this.session.receive(json, bytes)
  }

  get kinds(): string[] {
    return this.sent.map(message => (message.kind === 'service' ? `service ${message.service.name}` : message.kind))
  }
}

const sides: Side[] = []
function side(before: Partial<Pick<Side, 'exports' | 'have'>> = {}): Side {
  const made = new Side(before)
  sides.push(made)
  return made
}
afterEach(() => {
  for (const { session } of sides.splice(0)) session.closed()
})

const hello = (have: Record<string, string> = {}): object => ({ kind: 'hello', clockMs: Date.now(), datacenter: 'dc2', have })

describe('a stream', () => {
  it('says nothing but hello before the other side has', () => {
    expect(side({ exports: [service('api')] }).kinds).toEqual(['hello'])
  })

  it('tells all that is exported, and afterwards what has changed', async () => {
    const east = side({ exports: [service('api'), service('db')] })
    east.hear(hello())
    expect(east.kinds).toEqual(['hello', 'bundle', 'services', 'service api', 'service db'])
    east.sent.length = 0
    east.exports = [service('api', 2), service('db')]
    east.session.changed()
    await until('the change is told', async () => east.sent.length > 0)
    expect(east.kinds).toEqual(['service api'])
    east.sent.length = 0
    east.exports = [service('db')]
    east.session.changed()
    await until('that one is gone is told', async () => east.sent.length > 0)
    expect(east.kinds).toEqual(['services'])
  })

  it('looks at nothing again that is the same object, and at what is not', async () => {
    let hashed = 0
    const counted = (name: string) => ({
      ...service(name),
      get protocol() {
        hashed++
        return 'http'
      },
    })
    const [api, db] = [counted('api'), counted('db')]
    const east = side({ exports: [api, db] })
    east.hear(hello())
    expect(east.kinds).toEqual(['hello', 'bundle', 'services', 'service api', 'service db'])
    east.sent.length = 0
    hashed = 0
    east.exports = [api, service('db', 2)]
    east.session.changed()
    await until('the change is told', async () => east.sent.length > 0)
    expect([east.kinds, hashed]).toEqual([['service db'], 0])
    // The same in another object.
    east.exports = [service('api'), service('db', 2), service('new')]
    east.session.changed()
    await until('the new one is told', async () => east.sent.length > 1)
    expect(east.kinds).toEqual(['service db', 'services', 'service new'])
  })

  it('that comes back does not say again what the other side has', () => {
    const east = side({ exports: [service('api'), service('db', 2)] })
    east.hear(hello({ api: hashOf(service('api')), db: hashOf(service('db', 1)), gone: 'x' }))
    expect(east.kinds).toEqual(['hello', 'bundle', 'services', 'service db'])
  })

  it('leaves out, and says so, a service for whose message the other side would end the stream', () => {
    const large = { ...service('large'), protocol: 'x'.repeat(MAX_MESSAGE_BYTES) }
    const east = side({ exports: [large, service('small')] })
    east.hear(hello())
    expect(east.kinds).toEqual(['hello', 'bundle', 'services', 'service small'])
    expect(east.problems).toEqual([expect.stringMatching(/^service "large" is not told: a message of \d+ bytes, the limit is 16777216$/)])
  })

  it('ends with a second hello, and tells nothing again for it', () => {
    const east = side({ exports: [service('api')] })
    east.hear(hello())
    east.sent.length = 0
    for (let i = 0; i < 3; i++) east.hear(hello())
    expect(east.ended).toBe('a second hello')
    expect(east.kinds).toEqual([])
  })

  it('says in its hello what it has', () => {
    expect(side({ have: { api: 'h' } }).sent[0]).toMatchObject({ kind: 'hello', have: { api: 'h' } })
  })
})

const SERVICE = { kind: 'service', hash: 'h' }
const placed = (address: string): object => ({ ...service('a'), ways: [{ ...service('a').ways[0], address }] })

describe('what is received', () => {
  it('is refused by name where a service is not good, and the rest is taken', async () => {
    const west = side()
    const good = { kind: 'service', service: service('api'), hash: 'h' }
    west.hear({ ...good, service: { ...service('bad'), spiffeIds: ['nonsense'] } })
    west.hear(good)
    await until('the good one is taken', async () => west.taken.length === 1)
    expect(west.sent.at(-1)).toMatchObject({ kind: 'refused', service: 'bad', reason: expect.stringContaining('spiffeIds') })
    expect(west.problems).toEqual([expect.stringContaining('service "bad" is not taken')])
    expect(west.ended).toBeUndefined()
  })

  it('waits to be kept up to a limit of bytes', async () => {
    const west = side()
    const good = { kind: 'service', service: service('api'), hash: 'h' }
    west.hear(good, 200 * 2 ** 20)
    await until('it is kept, and waits no more', async () => west.taken.length === 1)
    west.hear(good, 200 * 2 ** 20)
    expect(west.ended).toBeUndefined()
    west.hear(good, 57 * 2 ** 20)
    expect(west.ended).toBe('more than 20000 messages, or 256 MiB, wait to be kept')
  })

  it('is refused in one short line, however much is wrong', () => {
    const west = side()
    const ways = Array.from({ length: 1_000 }, () => ({ ...service('a').ways[0], port: -1 }))
    west.hear({ ...SERVICE, service: { ...service('a'), ways } })
    west.hear({ ...SERVICE, service: { ...service('a'), name: 'x'.repeat(100_000) } })
    west.hear({ kind: 'refused', service: 'y'.repeat(5_000), reason: 'z'.repeat(5_000) })
    expect(west.problems[0]).toMatch(/^service "a" is not taken: .*; and 997 more$/)
    expect(west.problems.map(({ length }) => length < 1_500)).toEqual([true, true, true])
  })

  it('of roots is each one certificate, and nothing that stands beside it', () => {
    const [pem] = bundle.rootPems
    const beside = `${pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`
    expect(readMessage({ kind: 'bundle', bundle: { ...bundle, rootPems: [`of east\n${beside}`] } })).toEqual({
      kind: 'bundle',
      bundle: { ...bundle, rootPems: [pem] },
    })
  })

  it('of a kind that is not known yet is passed over', () => {
    const west = side()
    west.hear({ kind: 'weather', sky: 'blue' })
    expect([west.ended, west.problems]).toEqual([undefined, []])
  })

  it('ends the stream where the whole can’t be told apart any more', () => {
    const west = side()
    west.hear({ kind: 'bundle', bundle: { trustDomain: 'UPPER', rootPems: ['x'] } })
    expect(west.ended).toMatch(/bundle.trustDomain .*lower case; bundle.rootPems .*a CA certificate in it is none/)
  })

  it('ends the stream where it can’t be kept, so that the next one says it again', async () => {
    const west = side()
    west.failing = true
    west.hear({ kind: 'services', names: [] })
    await until('it ends', async () => west.ended !== undefined)
    expect(west.ended).toBe('the disk is full')
  })

  it.each([
    ['no object', 'x'],
    [
      'a port that is none',
      { kind: 'service', hash: 'h', service: { ...service('a'), ways: [{ ...service('a').ways[0], port: 70_000 }] } },
    ],
    ['a name with a slash', { kind: 'service', hash: 'h', service: { ...service('a'), name: 'a/b' } }],
    ['an address without a port', { kind: 'servers', addresses: ['10.0.0.1'] }],
    ['no addresses', { kind: 'servers', addresses: [] }],
    ['an address that nobody could answer a question of DNS with', { ...SERVICE, service: placed('a..b') }],
    ['an address with a line break', { ...SERVICE, service: placed('10.0.0.1\n') }],
  ])('is not %s', (_what, message) => {
    expect(() => readMessage(message)).toThrow()
  })
})
