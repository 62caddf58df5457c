import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type BalancedStreams, StreamBalance, shedPerSecond } from '../../../src/control/grpc/stream-balance.js'

class Streams implements BalancedStreams {
  most: number | undefined
  constructor(public streamCount: number) {}
  limitStreams(most: number | undefined): void {
    this.most = most
  }
  shedStream(): void {
    this.streamCount--
  }
}

let servers: number
let proxies: number
let shed: number[]
let running: StreamBalance

beforeEach(() => {
  vi.useFakeTimers()
  shed = []
})
afterEach(() => {
  running.stop()
  vi.useRealTimers()
})

function balance(ads: Streams): Streams {
  running = new StreamBalance({ ads, proxies: () => proxies, servers: () => servers, onShed: count => shed.push(count) })
  running.start()
  return ads
}

it('a single server takes all that come', () => {
  servers = 1
  proxies = 10
  const streams = balance(new Streams(1_000))
  vi.advanceTimersByTime(10_000)
  expect({ most: streams.most, left: streams.streamCount, shed }).toEqual({ most: undefined, left: 1_000, shed: [] })
})

it('of several each takes its share and a tenth more, and ends few a second of what is beyond', () => {
  servers = 3
  proxies = 300
  const streams = balance(new Streams(113))
  vi.advanceTimersByTime(1_000)
  expect({ most: streams.most, left: streams.streamCount }).toEqual({ most: 110, left: 112 })
  vi.advanceTimersByTime(10_000)
  expect({ left: streams.streamCount, shed }).toEqual({ left: 110, shed: [1, 1, 1] })
  servers = 2
  vi.advanceTimersByTime(1_000)
  expect(streams.most, 'a server is gone: its share is taken by the others').toBe(165)
  servers = 1
  vi.advanceTimersByTime(1_000)
  expect(streams.most).toBeUndefined()
})

it('ends more a second the more proxies there are, as Consul does', () => {
  expect([1, 512, 767, 768, 1_024, 2_816, 100_000].map(shedPerSecond)).toEqual([1, 1, 1, 2, 3, 10, 10])
})
