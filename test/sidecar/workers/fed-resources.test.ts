// What a worker has been fed: by name, and by the names that requests asked for it by.
import { expect, it } from 'vitest'
import type { ConfigSource } from '../../../src/model/config-source.js'
import { FedResources } from '../../../src/sidecar/workers/fed-resources.js'
import { SECRET_TYPE, VIRTUAL_HOST_TYPE as TYPE } from '../../../src/xds/type-urls.js'

const ads: ConfigSource = { kind: 'ads' }
const host = (name: string, version: string, aliases?: readonly string[]) => ({
  name,
  version,
  any: { typeUrl: TYPE, value: new Uint8Array() },
  ...(aliases === undefined ? {} : { aliases }),
})

it('finds a resource by its name, and by those it goes by now', () => {
  const fed = new FedResources()
  const apply = (resources: ReturnType<typeof host>[], removed: string[] = []) =>
    fed.apply({ typeUrl: TYPE, source: ads, resources, removed })
  const found = (name: string) => fed.get(TYPE, ads, name).map(one => `${one.name} ${one.version}`)
  apply([host('t/a', '1', ['t/x', 't/y']), host('t/b', '1', ['t/y']), host('t/y2', '1')])
  expect([found('t/a'), found('t/x'), found('t/y'), found('t/none')]).toEqual([['t/a 1'], ['t/a 1'], ['t/a 1', 't/b 1'], []])
  apply([host('t/a', '2', ['t/z'])])
  expect([found('t/x'), found('t/y'), found('t/z')]).toEqual([[], ['t/b 1'], ['t/a 2']])
  expect(fed.all(TYPE, ads).map(({ name }) => name)).toEqual(['t/a', 't/b', 't/y2'])
  apply([], ['t/b'])
  fed.forget(TYPE, ads, ['t/a'])
  expect([found('t/y'), found('t/z'), found('t/a')]).toEqual([[], [], []])
  expect(fed.all(TYPE, ads).map(({ name }) => name)).toEqual(['t/y2'])
})

it('remembers of secrets alone which are waited for no longer', () => {
  const fed = new FedResources()
  for (const typeUrl of [SECRET_TYPE, TYPE])
    fed.apply({ typeUrl, source: ads, resources: [host('leaf', '1')], removed: [], absent: ['refused', 'gone'] })
  expect(fed.absent(SECRET_TYPE, ads, ['leaf', 'refused', 'other'])).toEqual(['refused'])
  expect(fed.absent(TYPE, ads, ['refused'])).toEqual([])
  expect(fed.updates().map(({ typeUrl, absent }) => [typeUrl, absent])).toEqual([
    [TYPE, undefined],
    [SECRET_TYPE, ['refused', 'gone']],
  ])
  fed.forget(SECRET_TYPE, ads, ['leaf', 'refused'])
  expect(fed.absent(SECRET_TYPE, ads, ['refused', 'gone'])).toEqual(['gone'])
  fed.forget(SECRET_TYPE, ads, ['gone'])
  expect(fed.updates().map(({ typeUrl }) => typeUrl)).toEqual([TYPE])
})
