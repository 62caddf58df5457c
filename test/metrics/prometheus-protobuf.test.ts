import { expect, test } from 'vitest'
import { PrometheusExposition } from '../../src/metrics/prometheus.js'
import { parseStatsQuery } from '../../src/metrics/stats-query.js'
import { StatsStore } from '../../src/metrics/stats-store.js'

type Field = readonly [number, number | string | Message]
type Message = readonly Field[]

/** Protobuf without its descriptor: printable bytes are text, others a message, numbers as they are. */
function read(bytes: Buffer): Message {
  const fields: Field[] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const field = key >>> 3
    if ((key & 7) === 0) fields.push([field, varint()])
    else if ((key & 7) === 1) {
      fields.push([field, bytes.readDoubleLE(at)])
      at += 8
    } else {
      const length = varint()
      const value = bytes.subarray(at, at + length)
      at += length
      fields.push([field, /^[ -~]+$/.test(value.toString('latin1')) ? value.toString() : read(value)])
    }
  }
  return fields
}

function families(store: StatsStore, query: string): Message[] {
  const parsed = parseStatsQuery('/stats/prometheus', new URLSearchParams(query), 'application/vnd.google.protobuf')
  if (!parsed.ok) throw new Error(parsed.body)
  expect(parsed.query.format).toBe('prometheus-protobuf')
  const all = Buffer.concat([...new PrometheusExposition(store).protobuf(parsed.query)])
  // Each message after its length: what a field of number 0 would look like without its key.
  const messages: Message[] = []
  for (let at = 0; at < all.length; ) {
    let length = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = all[at++]!
      length += (byte & 127) * factor
      if (byte < 128) break
    }
    messages.push(read(all.subarray(at, at + length)))
    at += length
  }
  return messages
}

function someStore(): StatsStore {
  const store = new StatsStore()
  store.counter('cluster.app.upstream_cx_total').value = 300
  store.scope('').gauge('server.live').value = 1
  const times = store.scope('').histogram('cluster.app.upstream_rq_time', 'milliseconds')
  for (const value of [0, 1, 1, 2]) times.record(value)
  return store
}

const LABEL: Field = [
  1,
  [
    [1, 'envoy_cluster_name'],
    [2, 'app'],
  ],
]

test('counters and gauges, as Envoy writes them', () => {
  expect(families(someStore(), 'filter=upstream_cx_total|live')).toEqual([
    [
      [1, 'envoy_cluster_upstream_cx_total'],
      [3, 0],
      [4, [LABEL, [3, [[1, 300]]]]],
    ],
    [
      [1, 'envoy_server_live'],
      [3, 1],
      [4, [[2, [[1, 1]]]]],
    ],
  ])
})

test('histograms: buckets, a summary of the last interval, or native', () => {
  const store = someStore()
  store.flush()
  const metric = (query: string): Message => families(store, `filter=rq_time&${query}`)[0]![2]![1] as Message
  const classic = metric('')[1]![1] as Message
  expect(classic.slice(0, 4)).toEqual([
    [1, 4],
    [2, expect.closeTo(4.143, 2)],
    [
      3,
      [
        [1, 1],
        [2, 0.5],
      ],
    ],
    [
      3,
      [
        [1, 3],
        [2, 1],
      ],
    ],
  ])
  expect(metric('histogram_buckets=summary')[1]![0]).toBe(4)
  // 5 and 13 and the offsets are zigzag: schema 4, offsets 0 and 15, deltas 2 and -1.
  expect(metric('histogram_buckets=prometheusnative')[1]).toEqual([
    7,
    [
      [1, 4],
      [2, expect.closeTo(4.143, 2)],
      [5, 8],
      [6, 0.5],
      [7, 1],
      [
        12,
        [
          [1, 0],
          [2, 1],
        ],
      ],
      [
        12,
        [
          [1, 30],
          [2, 1],
        ],
      ],
      [13, 4],
      [13, 1],
    ],
  ])
})
