// Samples to figures: the median of each peer with its quartiles, and the ratio to Envoy, one line a row and peer. `pairedLine` judges
// two builds: a row has regressed only when even the lower quartile of the ratios of its pairs is above the gate.
import { spread } from './measure/statistics.mjs'

/** Issue 9's gate: what is measured here moves by about two per cent between equal builds. */
const REGRESSION_GATE = 1.02

/** What a row may be compared by: how it is written, and that less is better for all of them. */
const FIGURES = {
  cpuUs: (value, unit) => `${value.toPrecision(3)} µs CPU/${unit}`,
  p99Ms: value => `p99 ${value.toFixed(2)} ms`,
  rssMb: value => `${value.toFixed(0)} MB`,
  startMs: value => `${value.toFixed(0)} ms`,
}

/** One entry of the results: every figure of the samples as `{median, low, high}`. */
export function summarise(row, peer, samples, envoySamples) {
  const figures = {}
  for (const key of Object.keys(samples[0])) figures[key] = spread(samples.map(sample => sample[key]))
  const envoy = envoySamples === undefined ? Number.NaN : spread(envoySamples.map(sample => sample[row.figure])).median
  const ratio = envoy / figures[row.figure].median
  return { row: row.name, peer, unit: row.unit, figure: row.figure, ratioToEnvoy: Number.isNaN(ratio) ? null : round(ratio), figures }
}

const round = value => Number(value.toPrecision(3))

export function line({ row, peer, unit, figure, ratioToEnvoy, figures }) {
  const main = figures[figure]
  const write = value => FIGURES[figure](value, unit)
  const parts = [`${write(main.median)} [${main.low.toPrecision(3)}–${main.high.toPrecision(3)}]`]
  if (ratioToEnvoy !== null) parts.push(`Envoy/this ${ratioToEnvoy.toFixed(2)}`)
  if (figure !== 'cpuUs' && figures.cpuUs !== undefined) parts.push(`${figures.cpuUs.median.toPrecision(3)} µs CPU`)
  if (figures.userUs !== undefined) parts.push(`user ${figures.userUs.median.toFixed(1)} system ${figures.systemUs.median.toFixed(1)}`)
  if (figures.rate !== undefined) parts.push(`${Math.round(figures.rate.median)} ${unit}s/s`)
  for (const [key, name] of [
    ['p50Ms', 'p50'],
    ['p99Ms', 'p99'],
    ['p999Ms', 'p99.9'],
    ['maxMs', 'max'],
    ['applyMs', 'applied in'],
  ]) {
    const value = figures[key]?.median
    if (key !== figure && value !== undefined && value !== null && !Number.isNaN(value)) parts.push(`${name} ${value.toFixed(2)} ms`)
  }
  if (figure !== 'rssMb' && figures.rssMb !== undefined) parts.push(`${figures.rssMb.median.toFixed(0)} MB`)
  return `${row.padEnd(22)} ${peer.padEnd(19)} ${parts.join('  ')}`
}

/** `{row, median, low, high, regressed}` of the ratios this/against, pair by pair: below 1 is better. */
export function paired(row, samples) {
  const ratios = (samples.get('this') ?? []).flatMap((sample, i) => {
    const other = samples.get('against')?.[i]
    return other === undefined ? [] : [sample[row.figure] / other[row.figure]]
  })
  const { median, low, high } = spread(ratios)
  return { row: row.name, figure: row.figure, pairs: ratios.length, median, low, high, regressed: low > REGRESSION_GATE }
}

export function pairedLine({ row, figure, pairs, median, low, high, regressed }, samples, unit) {
  const middle = name => FIGURES[figure](spread((samples.get(name) ?? []).map(sample => sample[figure])).median, unit)
  const verdict = regressed ? 'REGRESSED' : high < 1 ? 'better' : 'even'
  const ratios = `${median.toFixed(3)} [${low.toFixed(3)}–${high.toFixed(3)}]`
  return `${row.padEnd(22)} this/against ${ratios} of ${pairs} pairs: ${verdict}   ${middle('this')} / ${middle('against')}`
}
