// `npm run bench:chart`: docs/performance.svg out of bench/results/peers.json: CPU (or what else the row compares) of Envoy over ours, one
// bar a row on a scale of doublings, so that twice as good and half as good are equally long.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = path => fileURLToPath(new URL(path, import.meta.url))
const { machine, measured, results } = JSON.parse(readFileSync(at('results/peers.json'), 'utf8'))
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
