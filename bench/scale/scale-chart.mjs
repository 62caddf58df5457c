// `npm run bench -- scale --chart`: out of bench/results/scale.json the plots docs/scale.svg and the table of docs/scale.md between its two
// marks. Both axes are logarithmic: what costs in proportion to the mesh is a straight line that rises by a decade a decade, what costs by
// who is concerned is level. Called by scale-main.mjs. Invariant: a phase that did not end is told with its reason, and has no point.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = path => fileURLToPath(new URL(path, import.meta.url))
const WIDTH = 330
const HEIGHT = 230
const PAD = { left: 58, right: 14, top: 46, bottom: 34 }
const COLOURS = ['#2a7f62', '#b5543c', '#3b6ea8', '#8a6d3b']

const PANELS = [
  ['CPU of one change (ms)', { 'an endpoint’s health': ['endpointChange', 'cpuMs'], 'an intention': ['intentionChange', 'cpuMs'] }],
  [
    'A change at its subscribers (ms)',
    {
      'endpoint, p50': ['endpointChange', 'p50Ms'],
      'endpoint, p99': ['endpointChange', 'p99Ms'],
      'intention, p99': ['intentionChange', 'p99Ms'],
    },
  ],
  ['Sent for one change (KB)', { 'an endpoint’s health': ['endpointChange', 'sentKb'], 'an intention': ['intentionChange', 'sentKb'] }],
  [
    'Memory of the control plane (MB)',
    { registered: ['register', 'rssMb'], connected: ['connect', 'rssMb'], 'after a restart': ['restart', 'rssMb'] },
  ],
  [
    'Until every sidecar has it (s)',
    {
      'first connect': ['connect', 'seconds'],
      reconnect: ['reconnect', 'seconds'],
      'kill -9, restart': ['restart', 'seconds'],
      'a change for all': ['changeForAll', 'seconds'],
    },
  ],
  [
    'CPU for all sidecars (s)',
    {
      'first connect': ['connect', 'cpuSeconds'],
      reconnect: ['reconnect', 'cpuSeconds'],
      'CA rotation': ['caRotation', 'cpuSeconds'],
      'a change for all': ['changeForAll', 'cpuSeconds'],
    },
  ],
]

const text = (x, y, content, more = '') => `<text x="${x}" y="${y}" ${more}>${content}</text>`
const short = value => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(value))

function panel([title, lines], runs, left, top) {
  const series = Object.entries(lines).map(([name, [phase, figure]]) => ({
    name,
    points: runs.flatMap(({ sidecars, phases }) => (phases[phase]?.[figure] > 0 ? [[sidecars, phases[phase][figure]]] : [])),
  }))
  const all = series.flatMap(({ points }) => points)
  const decades = values => [
    Math.floor(Math.log10(Math.min(...values))),
    Math.max(Math.ceil(Math.log10(Math.max(...values))), Math.floor(Math.log10(Math.min(...values))) + 1),
  ]
  if (all.length === 0) return ''
  const [xFrom, xTo] = decades(all.map(([x]) => x))
  const [yFrom, yTo] = decades(all.map(([, y]) => y))
  const x = value => left + PAD.left + ((Math.log10(value) - xFrom) / (xTo - xFrom)) * (WIDTH - PAD.left - PAD.right)
  const y = value => top + HEIGHT - PAD.bottom - ((Math.log10(value) - yFrom) / (yTo - yFrom)) * (HEIGHT - PAD.top - PAD.bottom)
  const parts = [text(left + 10, top + 18, title, 'font-size="13" font-weight="bold"')]
  for (let d = yFrom; d <= yTo; d++) {
    const at = y(10 ** d)
    parts.push(`<line x1="${left + PAD.left}" x2="${left + WIDTH - PAD.right}" y1="${at}" y2="${at}" stroke="#ddd"/>`)
    parts.push(text(left + PAD.left - 6, at + 4, short(10 ** d), 'text-anchor="end" fill="#666"'))
  }
  for (let d = xFrom; d <= xTo; d++) {
    const at = x(10 ** d)
    parts.push(`<line x1="${at}" x2="${at}" y1="${top + PAD.top}" y2="${top + HEIGHT - PAD.bottom}" stroke="#eee"/>`)
    parts.push(text(at, top + HEIGHT - PAD.bottom + 16, short(10 ** d), 'text-anchor="middle" fill="#666"'))
  }
  series.forEach(({ name, points }, i) => {
    const colour = COLOURS[i]
    const line = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ')
    parts.push(`<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    for (const [px, py] of points) parts.push(`<circle cx="${x(px).toFixed(1)}" cy="${y(py).toFixed(1)}" r="3" fill="${colour}"/>`)
    parts.push(text(left + 10 + (i % 2) * 150, top + 32 + Math.floor(i / 2) * 12, `● ${name}`, `fill="${colour}" font-size="11"`))
  })
  return parts.join('\n')
}

const cell = (phase, write) => (phase === undefined ? '' : phase.failed === undefined ? write(phase) : `not reached: ${phase.failed}`)
const ROWS = [
  ['registered', 'register', p => `${p.perSecond} instances/s, ${p.rssMb} MB`],
  ['one check flips each second, nobody connected', 'unconnected', p => `${((p.cpuSeconds * 100) / p.seconds).toFixed(1)} % of a core`],
  ['all connect at once', 'connect', p => `${p.seconds} s; ${p.cpuMsEach} ms CPU and ${p.kbEach} KB each; ${p.rssMb} MB`],
  ['idle', 'idle', p => `${p.corePercent} % of a core`],
  [
    'one endpoint’s health',
    'endpointChange',
    p => `${p.subscribers} sidecars; p50 ${p.p50Ms} ms, p99 ${p.p99Ms} ms; ${p.cpuMs} ms CPU, ${p.sentKb} KB`,
  ],
  [
    'one intention',
    'intentionChange',
    p => `${p.subscribers} sidecars; p50 ${p.p50Ms} ms, p99 ${p.p99Ms} ms; ${p.cpuMs} ms CPU, ${p.sentKb} KB`,
  ],
  [
    'an entry that concerns all',
    'changeForAll',
    p => `p50 ${(p.p50Ms / 1000).toFixed(1)} s, p99 ${(p.p99Ms / 1000).toFixed(1)} s; ${p.cpuSeconds} s CPU, ${p.sentMb} MB`,
  ],
  [
    'deploy storm',
    'deployStorm',
    p =>
      `${p.deployed} services: ${p.seconds} s; ${p.cpuMsEach} ms CPU, ${p.kbEach} KB each; longest wait of a request ${p.longestWaitMs} ms`,
  ],
  [
    'CA rotation',
    'caRotation',
    p => `every leaf new after ${p.signedSeconds} s; ${p.cpuSeconds} s CPU, ${p.sentMb} MB; longest wait ${p.longestWaitMs} ms`,
  ],
  [
    'every connection breaks',
    'reconnect',
    p => `all back in ${p.seconds} s; ${p.cpuSeconds} s CPU, ${p.sentMb} MB; longest wait ${p.longestWaitMs} ms`,
  ],
  [
    '`kill -9`, restart',
    'restart',
    p => `serves after ${p.readySeconds} s, all back after ${p.seconds} s; ${p.cpuSeconds} s CPU; ${p.rssMb} MB`,
  ],
  [
    'an endpoint changes each second, load reports come every 10 s, and the console is open in ten browsers',
    'console',
    p =>
      // Older runs have the changes and the reports in one.
      p.allPercent === undefined
        ? `${p.reportsPercent} % of a core for changes and reports, ${p.browsersPercent} % more for browsers (${p.readsPerSecond} reads/s of ${p.readKb} KB)`
        : `${p.allPercent} % of a core: changes ${p.changesPercent}, reports ${p.reportsPercent}, browsers ${p.browsersPercent} (${p.readsPerSecond} reads/s of ${p.readKb} KB)`,
  ],
]

export function scaleChart(resultsPath) {
  const { runs } = JSON.parse(readFileSync(resultsPath, 'utf8'))
  const single = runs.filter(({ planes }) => planes === 1)
  const columns = 2
  const drawn = PANELS.map((one, i) => panel(one, single, (i % columns) * (WIDTH + 20), 34 + Math.floor(i / columns) * (HEIGHT + 16)))
  const width = columns * (WIDTH + 20)
  const height = 34 + Math.ceil(PANELS.length / columns) * (HEIGHT + 16)
  writeFileSync(
    at('../../docs/scale.svg'),
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
<title>What the control plane costs by the number of simulated sidecars</title>
<rect width="100%" height="100%" fill="#fff"/>
${text(10, 20, 'By the number of simulated sidecars; one control plane, embedded store', 'font-size="14"')}
${drawn.join('\n')}
</svg>
`,
  )
  const FROM = '<!-- table: npm run bench -- scale --chart -->'
  const TO = '<!-- end of the table -->'
  const heads = runs.map(
    ({ sidecars, services, endpoints, planes, store }) =>
      `${sidecars} sidecars, ${services} services, ${endpoints} endpoints${planes > 1 ? `, ${planes} control planes on ${store}` : ''}`,
  )
  const rows = ROWS.map(([name, phase, write]) => `| ${name} | ${runs.map(({ phases }) => cell(phases[phase], write)).join(' | ')} |`)
  const where = [
    ...new Set(
      runs.map(
        ({ measured, machine }) => `${measured}, Node ${machine.node}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB`,
      ),
    ),
  ]
  const table = `${FROM}
${where.join('; ')}.

| | ${heads.join(' | ')} |
|---${'|---'.repeat(heads.length)}|
${rows.join('\n')}
${TO}`
  const page = at('../../docs/scale.md')
  const before = readFileSync(page, 'utf8')
  const [begin, end] = [before.indexOf(FROM), before.indexOf(TO)]
  if (begin === -1 || end === -1) throw new Error(`docs/scale.md: '${FROM}' and '${TO}' are not both there`)
  writeFileSync(page, before.slice(0, begin) + table + before.slice(end + TO.length))
  console.log(`docs/scale.svg, docs/scale.md: ${runs.length} runs`)
}
