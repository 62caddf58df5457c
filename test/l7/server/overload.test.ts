import { describe, expect, it } from 'vitest'
import { Overload } from '../../../src/l7/server/overload.js'
import { Counter } from '../../../src/metrics/stat.js'
import type { ScaledTimeout, TimeoutFloor } from '../../../src/model/overload.js'

const REDUCE = 'envoy.overload_actions.reduce_timeouts'

function overload(floors: readonly (readonly [ScaledTimeout, TimeoutFloor])[] = [], random = () => 0.5): Overload {
  return new Overload({ random, timeoutFloors: new Map(floors), shedCount: () => new Counter('') })
}

describe('Overload', () => {
  it('takes a share of the cases between rest and all', () => {
    let chance = 0
    const state = overload([], () => chance)
    state.set('envoy.overload_actions.reject_incoming_connections', 0.25)
    const taken = [0, 0.2, 0.25, 0.9].map(value => {
      chance = value
      return state.rejectsConnection()
    })
    expect(taken).toEqual([true, true, false, false])
  })

  it('holds connections back only when the action is wholly in force', () => {
    const state = overload()
    state.set('envoy.overload_actions.stop_accepting_connections', 0.9)
    expect(state.holdsConnections).toBe(false)
    state.set('envoy.overload_actions.stop_accepting_connections', 1)
    expect(state.holdsConnections).toBe(true)
  })

  it('shortens timeouts down to their floor, and leaves those without one', () => {
    const state = overload([
      ['connection-idle', { kind: 'time', ms: 2000 }],
      ['stream-idle', { kind: 'share', share: 0.1 }],
    ])
    state.set(REDUCE, 0.5)
    expect(state.timeoutMs('connection-idle', 10_000)).toBe(6000)
    expect(state.timeoutMs('stream-idle', 10_000)).toBe(5500)
    expect(state.timeoutMs('handshake', 10_000)).toBe(10_000)
    state.set(REDUCE, 1)
    expect(state.timeoutMs('connection-idle', 10_000)).toBe(2000)
    expect(state.timeoutMs('connection-idle', 1000)).toBe(1000)
    expect(state.timeoutMs('connection-idle', 0)).toBe(0)
  })
})
