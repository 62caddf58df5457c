// What is exported is made once: a change makes anew what it concerns, which is all that a session looks at again.
import { expect, it } from 'vitest'
import { ExportedServices } from '../../../src/control/peering/exported-services.js'
import type { ExportedService } from '../../../src/control/peering/peering-types.js'
import { SnapshotFixture } from '../snapshot/snapshot-fixture.js'

it('gives out the same objects until something of them changes', async () => {
  const mesh = await SnapshotFixture.open()
  const { catalog, entries } = mesh
  const exported = new ExportedServices({ catalog, entries, datacenter: 'dc1', trustDomain: 'here.consul' })
  catalog.onChange(({ services }) => exported.servicesChanged(services))
  entries.onChange(() => exported.everythingChanged())
  const register = async (Name: string, Address: string, more: object = {}) =>
    expect(await mesh.register({ Name, Port: 1, Address, Connect: { SidecarService: {} }, ...more })).toEqual([])
  await register('api', '10.0.0.1')
  await register('db', '10.0.0.2')
  await mesh.write({ Kind: 'exported-services', Name: 'default', Services: [{ Name: '*', Consumers: [{ Peer: 'west' }] }] })

  let before: readonly ExportedService[] = exported.to('west')
  /** Names of those that are other objects than they were. */
  const others = (): string[] => {
    const now = exported.to('west')
    const changed = now.filter(service => !before.includes(service)).map(({ name }) => name)
    before = now
    return changed
  }
  expect(before.map(({ name }) => name)).toEqual(['api', 'db'])
  expect(others()).toEqual([])
  // An instance; its sidecar, which is the way to it.
  await register('api', '10.0.0.3')
  expect(others()).toEqual(['api'])
  expect(before[0]!.instances.map(({ address }) => address)).toEqual(['10.0.0.3'])
  await register('db', '10.0.0.2', { Connect: { SidecarService: { Address: '10.0.0.9' } } })
  expect(others()).toEqual(['db'])
  expect(before[1]!.ways.map(({ address }) => address)).toEqual(['10.0.0.9'])
  // What none of them is made of; what any may be made of.
  expect(await mesh.register({ Name: 'tool', Port: 2 })).toEqual([])
  expect(others()).toEqual(['tool'])
  await mesh.write({ Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
  expect(others()).toEqual(['api', 'db', 'tool'])
  // A gateway is the way to all of them, and is so no more once it is gone.
  const gateway = { Name: 'through', Kind: 'mesh-gateway', Port: 8443, Address: '10.0.0.7' }
  expect(await mesh.register(gateway)).toEqual([])
  expect(others()).toEqual(['api', 'db', 'tool'])
  expect(before.map(({ ways }) => ways.map(({ address }) => address))).toEqual([['10.0.0.7'], ['10.0.0.7'], ['10.0.0.7']])
  expect(await mesh.register({ ...gateway, Address: '10.0.0.8' })).toEqual([])
  expect(others()).toEqual(['api', 'db', 'tool'])
  await catalog.deregister('through')
  expect(others()).toEqual(['api', 'db', 'tool'])
  expect(before[0]!.ways.map(({ address }) => address)).toEqual(['10.0.0.3'])
})
