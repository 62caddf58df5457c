import { expect, test } from 'vitest'
import {
  clusterSni,
  customizedClusterName,
  envoyId,
  failoverClusterName,
  filterName,
  targetId,
} from '../../../src/control/discovery-chain/names.js'

const TD = '11111111-2222-3333-4444-555555555555.consul'

test.each([
  [clusterSni({ service: 'web', subset: 'v2', datacenter: 'dc1' }, TD), `v2.web.default.dc1.internal.${TD}`],
  [clusterSni({ service: 'web', datacenter: 'dc1' }, TD), `web.default.dc1.internal.${TD}`],
  [clusterSni({ service: 'v1.api', datacenter: 'dc1' }, TD), `_.v1.api.default.dc1.internal.${TD}`],
  [clusterSni({ service: 'v1.api', subset: 'v2', datacenter: 'dc1' }, TD), `v2.v1.api.default.dc1.internal.${TD}`],
  [clusterSni({ service: 'web', namespace: 'n', partition: 'p', datacenter: 'dc1' }, TD), `web.n.p.dc1.internal-v1.${TD}`],
  [customizedClusterName('0a1b2c3d', 'web'), '0a1b2c3d~web'],
  [customizedClusterName(undefined, 'web'), 'web'],
  [failoverClusterName(1, 'web'), 'failover-target~1~web'],
  [targetId({ service: 'web', subset: 'v1', datacenter: 'dc1' }), 'v1.web.default.default.dc1'],
  [targetId({ service: 'web', datacenter: 'dc1' }), 'web.default.default.dc1'],
  [targetId({ service: 'web', datacenter: '', peer: 'east' }), 'web.default.default.external.east'],
  [envoyId({ name: 'web' }), 'web'],
  [envoyId({ name: 'web', datacenter: 'dc2' }), 'web?dc=dc2'],
  [envoyId({ name: 'web', peer: 'east' }), 'web?peer=east'],
  [envoyId({ name: 'web', partition: 'p', namespace: 'n' }), 'p/n/web'],
  [envoyId({ name: 'web', preparedQuery: true }), 'prepared_query:web'],
  [filterName('web', 'default', 'default', 'dc1'), 'web.default.default.dc1'],
])('%s', (name, expected) => {
  expect(name).toBe(expected)
})

test('no two pairs of service and subset have one name', () => {
  const labels = ['a', 'v1', 'api', 'default']
  const services = [...labels, ...labels.flatMap(x => labels.map(y => `${x}.${y}`)), ...labels.map(x => `v1.${x}.api`)]
  const pairs = services.flatMap(service => ['', ...labels].map(subset => ({ service, subset, datacenter: 'dc1' })))
  expect(new Set(pairs.map(targetId)).size).toBe(pairs.length)
  expect(new Set(pairs.map(pair => clusterSni(pair, TD))).size).toBe(pairs.length)
})
