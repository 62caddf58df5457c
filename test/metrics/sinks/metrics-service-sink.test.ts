import { expect, it } from 'vitest'
import { MetricsServiceSink } from '../../../src/metrics/sinks/metrics-service-sink.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import { NO_GRPC_SERVICE } from '../../../src/xds/resources/config-source.js'

it('a flush that the stream does not take yet goes with the next, and the first of a stream says who sends', () => {
  const store = new StatsStore()
  const sent: Buffer[] = []
  let takes = false
  const config = { kind: 'metrics-service', service: NO_GRPC_SERVICE, countersAsDeltas: true, tagsAsLabels: false } as const
  const sink = new MetricsServiceSink(
    { ...config, summaries: false, histograms: false },
    {
      open: () => ({ send: message => takes && sent.push(message) > 0, close: () => {} }),
      tags: store.tags,
      node: Buffer.from('the-node'),
      now: () => 1,
      log: () => {},
    },
  )
  const flush = (): void => sink.flush(store.takeFlushed())
  store.counter('early').value++
  flush()
  expect(sent).toEqual([])
  takes = true
  store.counter('late').value++
  flush()
  const texts = sent.map(message => message.toString('latin1'))
  expect(texts.map(text => [text.includes('the-node'), text.includes('early'), text.includes('late')])).toEqual([
    [true, true, false],
    [false, true, true],
  ])
  // Beyond the bound the oldest goes.
  takes = false
  for (let i = 0; i < 20; i++) flush()
  takes = true
  flush()
  expect(sent).toHaveLength(2 + 12)
})
