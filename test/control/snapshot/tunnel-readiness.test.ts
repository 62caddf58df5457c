import { beforeEach, describe, expect, it } from 'vitest'
import { type CatalogInstance, keyOfInstance } from '../../../src/control/catalog/catalog-types.js'
import { TunnelReadiness } from '../../../src/control/snapshot/tunnel-readiness.js'

let sidecars: CatalogInstance[]
let changes: boolean[]
let tunnels: TunnelReadiness

const sidecar = (id: string): CatalogInstance => ({ ID: id, Node: 'here' }) as CatalogInstance
const key = (id: string): string => keyOfInstance(sidecar(id))

/** As a sidecar of ours that starts: asks, is given a listener that takes tunnels, acknowledges it. */
function join(id: string, userAgent = 'outrigger'): void {
  sidecars.push(sidecar(id))
  tunnels.check('db')
  tunnels.offered(key(id), 'db', true)
  tunnels.streamOpened(key(id), 'db', userAgent)
  tunnels.synced(key(id), 'db')
}

beforeEach(() => {
  sidecars = []
  changes = []
  tunnels = new TunnelReadiness(() => sidecars)
  tunnels.onChange = service => changes.push(tunnels.accepts(service))
})

describe('a service is called by tunnel', () => {
  it('once every sidecar of it has acknowledged a listener that takes them, and not before', () => {
    sidecars.push(sidecar('1'), sidecar('2'))
    for (const id of ['1', '2']) tunnels.offered(key(id), 'db', true)
    tunnels.streamOpened(key('1'), 'db', 'outrigger')
    tunnels.synced(key('1'), 'db')
    tunnels.streamOpened(key('2'), 'db', 'outrigger')
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.synced(key('2'), 'db')
    expect(tunnels.accepts('DB')).toBe(true)
    expect(changes).toEqual([true])
  })

  it('not while it has no sidecar', () => {
    tunnels.check('db')
    expect(tunnels.accepts('db')).toBe(false)
  })

  it('no more from the moment that another sidecar is registered, until that one has acknowledged too', () => {
    join('1')
    sidecars.push(sidecar('2'))
    tunnels.check('db')
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.offered(key('2'), 'db', true)
    tunnels.streamOpened(key('2'), 'db', 'outrigger')
    tunnels.synced(key('2'), 'db')
    expect(changes).toEqual([true, false, true])
  })

  it('not while one of them is a real Envoy, and again when that has left', () => {
    join('1')
    join('2', 'envoy')
    expect(tunnels.accepts('db')).toBe(false)
    sidecars.pop()
    tunnels.forget(key('2'), 'db')
    expect(tunnels.accepts('db')).toBe(true)
    expect(changes).toEqual([true, false, true])
  })

  it('no more when another program comes in the place of ours, whatever ours had acknowledged', () => {
    join('1')
    tunnels.streamOpened(key('1'), 'db', 'envoy')
    tunnels.synced(key('1'), 'db')
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.streamOpened(key('1'), 'db', 'outrigger')
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.synced(key('1'), 'db')
    expect(tunnels.accepts('db')).toBe(true)
  })

  it('still when one of ours connects anew, and no more when it is given a listener without tunnels', () => {
    join('1')
    tunnels.streamOpened(key('1'), 'db', 'outrigger')
    expect(tunnels.accepts('db')).toBe(true)
    tunnels.offered(key('1'), 'db', false)
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.offered(key('1'), 'db', true)
    expect(tunnels.accepts('db')).toBe(false)
    tunnels.synced(key('1'), 'db')
    expect(tunnels.accepts('db')).toBe(true)
  })
})
