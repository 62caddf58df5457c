// How long a peer has for its answers, where this thread itself was away for a while.
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Ticking } from '../../../../src/l7/codec/http2/connection-clock.js'
import { Liveness } from '../../../../src/l7/codec/http2/liveness.js'
import type { Http2Options } from '../../../../src/model/http-connection-manager.js'

const options = { keepaliveIntervalMs: 30_000, keepaliveTimeoutMs: 20_000 } as Http2Options

describe('a peer', () => {
  it('has its whole time for SETTINGS, without what nobody listened in', () => {
    const liveness = new Liveness(options, 0)
    liveness.away(8_000)
    expect([liveness.check(10_001), liveness.check(18_001)]).toEqual(['ok', 'settings-timeout'])
  })

  it('has it for the answer to a PING too', () => {
    const liveness = new Liveness(options, 0)
    liveness.settingsAcknowledged = true
    expect(liveness.check(30_000)).toBe('send-ping')
    liveness.away(8_000)
    expect([liveness.check(50_001), liveness.check(58_001)]).toEqual(['ok', 'keepalive-timeout'])
  })
})

describe('the clock of all connections', () => {
  afterEach(() => vi.useRealTimers())

  it('tells them of the time that this thread was away, and not that it was a little late', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    // One that no other test's connections have set going.
    vi.resetModules()
    const { ConnectionClock } = await import('../../../../src/l7/codec/http2/connection-clock.js')
    const told: number[] = []
    const member: Ticking = { tick() {}, away: ms => told.push(ms), wantsTicks: true, currentTime: () => 0 }
    ConnectionClock.add(member)
    vi.advanceTimersByTime(400)
    const now = performance.now()
    const spy = vi.spyOn(performance, 'now')
    spy.mockReturnValue(now + 900)
    vi.advanceTimersByTime(200)
    spy.mockReturnValue(now + 900 + 7_200)
    vi.advanceTimersByTime(200)
    expect(told).toEqual([7_000])
    spy.mockRestore()
    ConnectionClock.remove(member)
  })
})
