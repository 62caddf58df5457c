// Which edge of the mesh a cluster's name stands for.
import { expect, it } from 'vitest'
import { clusterSni, customizedClusterName, failoverClusterName } from '../../../src/control/discovery-chain/names.js'
import { meaningOf } from '../../../src/control/traffic/cluster-name.js'

const TRUST = '11111111-2222-3333-4444-555555555555.consul'
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
  expect(meaningOf(cluster, TRUST)).toEqual({ kind: 'upstream', destination, subset })
})

it('the application is inbound traffic', () => expect(meaningOf('local_app', TRUST)).toEqual({ kind: 'inbound' }))

it.each([
  'local_agent',
  'original-destination',
  'web.default.dc1.internal.other.consul',
  `default.dc1.internal.${TRUST}`,
  `.default.dc1.internal.${TRUST}`,
  `web.default.dc1.query.${TRUST}`,
  `${'a'.repeat(600)}.default.dc1.internal.${TRUST}`,
])('%s is no traffic of the mesh', cluster => expect(meaningOf(cluster, TRUST)).toBeUndefined())
