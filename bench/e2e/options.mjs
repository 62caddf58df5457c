// The bench's command line.
import { ROWS } from './rows/rows.mjs'

export const USAGE = `npm run bench -- [options]
  --row a,b          rows, all without it (--rows is the same)
  --peers a,b        proxies, all installed ones without it
  --rounds N         samples of each, interleaved (3; one of the usual Node proxies, who are there for their order of magnitude); with --against fresh processes of each (3), whose samples alternate
  --seconds N        of load in a sample (2; with --against 1)
  --against DIST     this build against another one, by its dist folder, in alternating pairs with quartiles
  --quick            only whether every row runs and answers right: seconds, no figures
  --out FILE         raw results as JSON (those of the published table are in bench/results)
`

export function parseOptions(argv) {
  const read = (name, fallback) => {
    const at = argv.indexOf(`--${name}`)
    if (at === -1) return fallback
    const value = argv[at + 1]
    if (value === undefined || value.startsWith('--')) throw new Error(`--${name}: a value is missing`)
    return value
  }
  const flag = name => argv.includes(`--${name}`)
  for (const arg of argv) {
    if (arg.startsWith('--') && !USAGE.includes(arg) && arg !== '--help') throw new Error(`${arg}: not an option\n\n${USAGE}`)
  }
  const names = read('row', read('rows', ''))
  const wanted = names === '' ? null : names.split(',')
  for (const name of wanted ?? []) {
    if (!ROWS.some(row => row.name === name))
      throw new Error(`--row: there is no '${name}'; rows are ${ROWS.map(row => row.name).join(', ')}`)
  }
  const against = read('against', '')
  const quick = flag('quick')
  const peers = read('peers', '')
  return {
    help: flag('help'),
    quick,
    against,
    rows: ROWS.filter(row => wanted === null || wanted.includes(row.name)),
    peers: peers === '' ? null : peers.split(','),
    rounds: quick ? 1 : Number(read('rounds', '3')),
    seconds: quick ? 0.3 : Number(read('seconds', against === '' ? '2' : '1')),
    out: read('out', ''),
  }
}
