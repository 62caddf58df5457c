import { beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { catalogService, healthEntry } from '../../../src/control/http-api/shapes.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { OWN } from '../../support/own-node.js'

let store: MemoryStore
let catalog: Catalog
const open = (): Promise<Catalog> => Catalog.open(store, { node: OWN, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
beforeEach(async () => {
  store = new MemoryStore()
  catalog = await open()
})

async function register(definition: object): Promise<void> {
  const parsed = parseServiceDefinition(definition, { strict: true })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  expect(await catalog.register(parsed.value)).toMatchObject({ ok: true })
}

const withSidecar = (Name: string, ID = Name) => register({ ID, Name, Port: 1, Connect: { SidecarService: {} } })

describe('virtual addresses', () => {
  it('are given to services of the mesh alone, one each, whatever the case and number of instances', async () => {
    await withSidecar('api', 'api-1')
    await withSidecar('api', 'api-2')
    await register({ Name: 'native', Port: 2, Connect: { Native: true } })
    await register({ Name: 'plain', Port: 3 })
    expect(['api', 'API', 'native', 'plain'].map(name => catalog.virtualIps.of(name))).toEqual([
      '240.0.0.1',
      '240.0.0.1',
      '240.0.0.2',
      undefined,
    ])
    const tagged = (id: string): object => catalogService(catalog, catalog.instance(id)!)['ServiceTaggedAddresses'] as object
    expect(tagged('api-1-sidecar-proxy')).toMatchObject({ 'consul-virtual': { Address: '240.0.0.1', Port: 21_000 } })
    expect(healthEntry(catalog, catalog.instance('native')!).Service).toMatchObject({
      TaggedAddresses: { 'consul-virtual': { Address: '240.0.0.2', Port: 2 } },
    })
    expect(tagged('api-1')).toEqual({})
  })

  it('are never given again: not to another service, not to the same, not after a restart', async () => {
    await withSidecar('a')
    await withSidecar('b')
    await catalog.deregister('a')
    expect(catalog.virtualIps.of('a')).toBeUndefined()
    await withSidecar('c')
    await catalog.deregister('c')
    catalog = await open()
    await withSidecar('a')
    expect(['a', 'b', 'c'].map(name => catalog.virtualIps.of(name))).toEqual(['240.0.0.4', '240.0.0.2', undefined])
  })

  it('stay with a service while one of its proxies does, also one of another node, and move with a proxy', async () => {
    await withSidecar('a')
    const sidecar = catalog.instance('a-sidecar-proxy')!
    await catalog.change(draft => {
      draft.setNode({ ID: '', Node: 'far', Address: '192.0.2.1', TaggedAddresses: null, Meta: null })
      draft.setInstance('far', { ...sidecar, Port: 20_000 })
    })
    await catalog.deregister('a')
    expect(catalog.virtualIps.of('a')).toBe('240.0.0.1')
    await catalog.change(draft => {
      draft.setInstance('far', { ...sidecar, Proxy: { ...sidecar.Proxy!, DestinationServiceName: 'b' } })
    })
    expect(['a', 'b'].map(name => catalog.virtualIps.of(name))).toEqual([undefined, '240.0.0.2'])
    await catalog.change(draft => draft.deleteNode('far'))
    expect(catalog.virtualIps.of('b')).toBeUndefined()
  })

  it('are given to what an older version registered', async () => {
    await withSidecar('a')
    await store.transaction([{ op: 'delete', collection: 'virtual-ip', key: 'a' }])
    expect((await open()).virtualIps.of('a')).toBe('240.0.0.2')
  })
})

describe('addresses of its own choice', () => {
  it('go to services of the mesh alone, move from one to another, and are forgotten with the service', async () => {
    await withSidecar('a')
    await withSidecar('b')
    expect(await catalog.virtualIps.assign('plain', ['10.96.0.1'])).toBeUndefined()
    expect(await catalog.virtualIps.assign('A', ['10.96.0.2', '10.96.0.1'])).toEqual([])
    expect(catalog.virtualAddressesOf('a')).toEqual(['10.96.0.1', '10.96.0.2', '240.0.0.1'])
    expect(await catalog.virtualIps.assign('b', ['10.96.0.2'])).toEqual(['a'])
    catalog = await open()
    expect(['a', 'b'].map(name => catalog.virtualAddressesOf(name))).toEqual([
      ['10.96.0.1', '240.0.0.1'],
      ['10.96.0.2', '240.0.0.2'],
    ])
    await catalog.deregister('b')
    await withSidecar('b')
    expect(catalog.virtualAddressesOf('b')).toEqual(['240.0.0.3'])
  })
})
