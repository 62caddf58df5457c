// `npm run bench:chart`: out of bench/results/peers.json, docs/performance.svg: CPU (or what else the row compares) of Envoy over ours, one
// bar a row on a scale of doublings, so that twice as good and half as good are equally long; and the table of docs/performance.md between
// its two marks, each row beside its target (targets.mjs), and the ratio of the same bench on a newer Node (results/peers-newer-node.json).
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { MOST_P99_MS, TARGETS } from './targets.mjs'

const at = path => fileURLToPath(new URL(path, import.meta.url))
const { machine, measured, rounds, results } = JSON.parse(readFileSync(at('results/peers.json'), 'utf8'))
const NEWER = at('results/peers-newer-node.json')
const newer = existsSync(NEWER) ? JSON.parse(readFileSync(NEWER, 'utf8')) : null
const bars = results.filter(({ peer, ratioToEnvoy }) => peer === 'outrigger' && ratioToEnvoy !== null)

const ROW_HEIGHT = 24
const LEFT = 200
const DOUBLING = 110
const DOUBLINGS_DOWN = 4
const ORIGIN = LEFT + DOUBLINGS_DOWN * DOUBLING
const TOP = 64
const WIDTH = ORIGIN + 3 * DOUBLING + 40
const height = TOP + bars.length * ROW_HEIGHT + 24
const SMALLEST = 2 ** -DOUBLINGS_DOWN
const x = ratio => ORIGIN + Math.log2(Math.max(ratio, SMALLEST)) * DOUBLING
const text = (px, y, content, more = '') => `<text x="${px}" y="${y}" ${more}>${content}</text>`

const scale = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8].map(ratio => {
  const px = x(ratio)
  const label = ratio < 1 ? `1/${1 / ratio}` : `${ratio} ×`
  return `<line x1="${px}" x2="${px}" y1="${TOP - 6}" y2="${height - 20}" stroke="${ratio === 1 ? '#333' : '#ddd'}"/>${text(px, TOP - 12, label, 'text-anchor="middle" fill="#666"')}`
})
const drawn = bars.map(({ row, figure, ratioToEnvoy }, i) => {
  const y = TOP + i * ROW_HEIGHT
  const [from, to] = [x(1), x(ratioToEnvoy)].sort((a, b) => a - b)
  const colour = ratioToEnvoy >= 1 ? '#2a7f62' : '#b5543c'
  const name = figure === 'cpuUs' ? row : `${row} (${{ p99Ms: 'p99', rssMb: 'memory', startMs: 'time' }[figure]})`
  return `${text(LEFT - 8, y + 15, name, 'text-anchor="end"')}<rect x="${from}" y="${y + 3}" width="${Math.max(1, to - from)}" height="${ROW_HEIGHT - 8}" fill="${colour}"/>${
    ratioToEnvoy >= 1 ? text(to + 5, y + 15, ratioToEnvoy.toFixed(2)) : text(from - 5, y + 15, ratioToEnvoy.toFixed(2), 'text-anchor="end"')
  }`
})
writeFileSync(
  at('../docs/performance.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">
<title>Envoy’s cost divided by Outrigger’s, row by row</title>
<rect width="100%" height="100%" fill="#fff"/>
${text(16, 22, 'Envoy’s cost divided by Outrigger’s: right of 1 Outrigger is cheaper', 'font-size="15"')}
${text(16, 38, `CPU time per unit of work unless the row says otherwise; Node ${machine.node}, ${machine.cores} cores, ${measured}`, 'fill="#666"')}
${[...scale, ...drawn].join('\n')}
</svg>
`,
)
console.log(`docs/performance.svg: ${bars.length} rows`)

const FROM = '<!-- table: npm run bench:chart -->'
const TO = '<!-- end of the table -->'
const WRITTEN = {
  cpuUs: (value, unit) => `${value >= 1e6 ? `${(value / 1e6).toPrecision(3)} s` : `${value.toPrecision(3)} µs`} a ${unit}`,
  p99Ms: value => `p99 ${value.toPrecision(3)} ms`,
  rssMb: value => `${value.toFixed(0)} MB`,
  startMs: value => `${value.toFixed(0)} ms`,
}

/** A figure with its quartiles, and the memory or time that stands beside it. */
function cell(entry) {
  if (entry === undefined) return ''
  const { figure, figures, unit } = entry
  const { median, low, high } = figures[figure]
  const spread = rounds > 1 ? ` (${low.toPrecision(3)}–${high.toPrecision(3)})` : ''
  const applied = figures.applyMs?.median
  const more = typeof applied === 'number' && !Number.isNaN(applied) ? `, in ${(applied / 1000).toPrecision(2)} s` : ''
  return `${WRITTEN[figure](median, unit)}${spread}${more}`
}

function reached({ row, figure, figures, ratioToEnvoy }) {
  const most = MOST_P99_MS[row]
  if (most !== undefined) return [`p99 ≤ ${most} ms`, figures[figure].median <= most]
  const target = TARGETS[row]
  return target === undefined
    ? ['', ratioToEnvoy !== null && ratioToEnvoy >= 1]
    : [`≥ ${target.toPrecision(2)}`, ratioToEnvoy !== null && ratioToEnvoy >= target]
}

const rows = [...new Set(results.map(({ row }) => row))].map(row => {
  const of = name => results.find(entry => entry.row === row && entry.peer === name)
  const ours = of('outrigger')
  if (ours === undefined) return ''
  const [target, met] = reached(ours)
  const others = results.filter(entry => entry.row === row && entry.peer !== 'outrigger' && entry.peer !== 'envoy')
  const ratio = ours.ratioToEnvoy === null ? '' : ours.ratioToEnvoy.toFixed(2)
  const told = others.map(entry => `${entry.peer} ${WRITTEN[entry.figure](entry.figures[entry.figure].median, entry.unit)}`).join(', ')
  const there = newer?.results.find(entry => entry.row === row && entry.peer === 'outrigger')?.ratioToEnvoy
  const onNewer = newer === null ? '' : ` ${there?.toFixed(2) ?? ''} |`
  return `| \`${row}\` | ${cell(ours)} | ${cell(of('envoy'))} | ${met ? `**${ratio}**` : ratio} |${onNewer} ${target}${met || target === '' ? '' : ' ✗'} | ${told} |`
})
const table = `${FROM}
${measured}, Node ${machine.node}, ${machine.cores} cores (${machine.cpu.trim()}), ${rounds} ${rounds === 1 ? 'round' : 'rounds'}: medians (quartiles).

| row | Outrigger | Envoy | Envoy / Outrigger |${newer === null ? '' : ` on Node ${newer.machine.node.slice(1)} |`} target | others |
|---|---|---|---|${newer === null ? '' : '---|'}---|---|
${rows.filter(line => line !== '').join('\n')}
${TO}`
const page = at('../docs/performance.md')
const pageText = readFileSync(page, 'utf8')
const [begin, end] = [pageText.indexOf(FROM), pageText.indexOf(TO)]
if (begin === -1 || end === -1) throw new Error(`docs/performance.md: '${FROM}' and '${TO}' are not both there`)
writeFileSync(page, pageText.slice(0, begin) + table + pageText.slice(end + TO.length))
console.log(`docs/performance.md: ${rows.filter(line => line.includes(' ✗ |')).length} targets missed`)
