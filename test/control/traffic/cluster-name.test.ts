// Which edge of the mesh a cluster's name stands for.
import { expect, it } from 'vitest'
import { clusterSni, customizedClusterName, failoverClusterName } from '../../../src/control/discovery-chain/names.js'
import { ClusterMeanings } from '../../../src/control/traffic/cluster-name.js'

const TRUST = '11111111-2222-3333-4444-555555555555.consul'
const meanings = new ClusterMeanings(TRUST)
const sni = (name: Parameters<typeof clusterSni>[0]): string => clusterSni(name, TRUST)
const web = sni({ service: 'web', datacenter: 'dc1' })

it.each([
  ['a service', web, 'web', ''],
  ['a subset', sni({ service: 'web', subset: 'v2', datacenter: 'dc1' }), 'web', 'v2'],
  ['a service with dots', sni({ service: 'web.api', datacenter: 'dc1' }), 'web.api', ''],
  ['a subset of a service with dots', sni({ service: 'web.api', subset: 'v2', datacenter: 'dc1' }), 'web.api', 'v2'],
  ['a partition', sni({ service: 'web', subset: 'v2', partition: 'p', datacenter: 'dc1' }), 'web', 'v2'],
  ['a chain with overrides', customizedClusterName('78ebd528', web), 'web', ''],
  ['the child of a failover', failoverClusterName(1, web), 'web', ''],
  ['the child of a customized failover', failoverClusterName(0, customizedClusterName('78ebd528', web)), 'web', ''],
  ['a passthrough', `passthrough~${web}`, 'web', ''],
  ['a peer', `web.default.east.external.${TRUST}`, 'web', ''],
])('%s', (_, cluster, destination, subset) => {
  expect(meanings.of(cluster)).toEqual({ kind: 'upstream', destination, subset })
})

it('the application is inbound traffic', () => expect(meanings.of('local_app')).toEqual({ kind: 'inbound' }))

it.each([
  'local_agent',
  'original-destination',
  'web.default.dc1.internal.other.consul',
  `default.dc1.internal.${TRUST}`,
  `.default.dc1.internal.${TRUST}`,
  `web.default.dc1.query.${TRUST}`,
  `${'a'.repeat(600)}.default.dc1.internal.${TRUST}`,
])('%s is no traffic of the mesh', cluster => expect(meanings.of(cluster)).toBeUndefined())

it('remembers names without mixing them up, also beyond the number that it keeps', () => {
  const name = (i: number): string => `svc${i}.default.dc1.internal.${TRUST}`
  for (let i = 0; i < 10_050; i++) meanings.of(name(i))
  for (const i of [0, 1, 10_049]) expect(meanings.of(name(i))).toMatchObject({ destination: `svc${i}` })
})
