// Failover of prepared queries to peers: who answers when nobody here does.
import { describe, expect, it } from 'vitest'
import type { PeerInstance } from '../../../src/control/peering/peering-types.js'
import { type ExecutionSource, executeQuery } from '../../../src/control/query/execute.js'
import { fillIn, parsePreparedQuery } from '../../../src/control/query/prepared-query.js'

const instance = (id: string, status: PeerInstance['status'], tags: readonly string[] = []): PeerInstance => ({
  ...{
    id,
    kind: '',
    name: 'web',
    tags,
    meta: { version: '1' },
    address: '10.0.0.1',
    port: 80,
    weights: { Passing: 1, Warning: 1 },
    status,
  },
  node: { id: '', name: 'n', address: '10.0.0.1' },
})

function source(peers: Readonly<Record<string, readonly PeerInstance[]>>): ExecutionSource {
  const none = () => []
  return {
    catalog: { instancesOf: none, connectInstancesOf: none, checksOf: none, nodeOf: () => ({ Meta: {} }) as never },
    peers: {
      imported: peer => (peers[peer] === undefined ? undefined : ({ peer, name: 'web', instances: peers[peer], ways: [] } as never)),
    },
    random: () => 0,
  }
}

const parse = (Failover: object, more: object = {}) => parsePreparedQuery({ Name: 'q', Service: { Service: 'web', Failover, ...more } })

describe('targets that are peers', () => {
  it('are asked in order; the first with instances that the query lets through answers', () => {
    const { Service } = parse({ Targets: [{ Peer: 'gone' }, { Datacenter: 'dc2' }, { Peer: 'bad' }, { Peer: 'good' }, { Peer: 'later' }] })
    const { instances, imported, failovers } = executeQuery(
      source({
        bad: [instance('b', 'critical')],
        good: [instance('g', 'warning'), instance('c', 'critical')],
        later: [instance('l', 'passing')],
      }),
      Service,
    )
    expect({ instances, failovers, peer: imported?.service.peer, ids: imported?.instances.map(({ id }) => id) }).toEqual({
      instances: [],
      failovers: 3,
      peer: 'good',
      ids: ['g'],
    })
  })

  it('by tags and metadata, of the service alone', () => {
    const ask = (more: object) =>
      executeQuery(source({ p: [instance('a', 'passing', ['Blue'])] }), parse({ Targets: [{ Peer: 'p' }] }, more).Service)
    expect(ask({ Tags: ['blue'], ServiceMeta: { version: '1' }, OnlyPassing: true }).imported?.instances).toHaveLength(1)
    expect(ask({ Tags: ['!blue'] }).imported).toBeUndefined()
    expect(ask({ NodeMeta: { rack: '1' } }).imported).toBeUndefined()
  })

  it('stand alone, are filled in, and kept as they were written', () => {
    expect(() => parse({ NearestN: 1, Targets: [{ Peer: 'p' }] })).toThrow('Targets cannot be populated with NearestN or Datacenters')
    expect(() => parse({ Targets: [{ Peer: 'p', Partition: 'x' }] })).toThrow('Partition: is of Consul Enterprise')
    const suffix = ['$', '{name.suffix}'].join('')
    const template = parsePreparedQuery({
      Name: 'geo-',
      Template: { Type: 'name_prefix_match' },
      Service: { Service: suffix, Failover: { Targets: [{ Peer: `${suffix}-peer` }] } },
    })
    expect(fillIn({ ID: 'x', ...template }, 'geo-web').Service).toMatchObject({
      Service: 'web',
      Failover: { Targets: [{ Peer: 'web-peer', Datacenter: '' }] },
    })
    expect(parse({}).Service.Failover).toEqual({ NearestN: 0, Datacenters: [] })
  })
})
