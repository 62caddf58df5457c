// What one peer may make this control plane keep.
import { beforeEach, describe, expect, it } from 'vitest'
import { VirtualIps } from '../../../src/control/catalog/virtual-ips.js'
import { PeeringTable } from '../../../src/control/peering/peering-table.js'
import type { ExportedService } from '../../../src/control/peering/peering-types.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'

const MAX_BYTES = 1024 * 1024

let table: PeeringTable
let store: MemoryStore
beforeEach(async () => {
  store = new MemoryStore()
  table = await PeeringTable.open(store, await VirtualIps.open(store), MAX_BYTES)
})

/** Of about so many bytes. */
function service(name: string, bytes: number): ExportedService {
  return { name, protocol: 'x'.repeat(bytes), sni: name, spiffeIds: [], instances: [], ways: [] }
}
const HALF = MAX_BYTES / 2 - 1_000

describe('the imports of a peer', () => {
  it('are bounded together by what they hold, and room is made by what is less or goes', async () => {
    expect(await table.putImport('east', service('a', HALF), '1')).toBe(true)
    expect(await table.putImport('east', service('b', HALF), '1')).toBe(true)
    expect(await table.putImport('east', service('c', 10_000), '1')).toBe(false)
    expect(await table.putImport('other', service('c', 10_000), '1')).toBe(true)
    expect(await table.putImport('east', service('A', 10), '2')).toBe(true)
    expect(await table.putImport('east', service('c', 10_000), '1')).toBe(true)
    expect(await table.putImport('east', service('d', HALF), '1')).toBe(false)
    await table.keepImports('east', new Set(['c']))
    expect(await table.putImport('east', service('d', HALF), '1')).toBe(true)
    expect(table.importsOf('east').map(({ name }) => name)).toEqual(['c', 'd'])
  })
})
