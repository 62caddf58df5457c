// The loads of the rows. wrk (HTTP/1) and h2load (HTTP/2, gRPC) where they are installed, generators of our own (generator-main.mjs, in a
// process of its own) for what they cannot do and for `--quick`. All give `{units, seconds, p50Ms, p99Ms}`; a failed or wrong answer makes
// a run worthless and is an error.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { has, runTool, spawnPinned } from './run-tool.mjs'

const GENERATOR = fileURLToPath(new URL('generator-main.mjs', import.meta.url))

/** A generator of our own, by the name of its export in generators.mjs. */
export async function generate(kind, options, core) {
  return JSON.parse(await runTool(process.execPath, [GENERATOR, kind, JSON.stringify(options)], core))
}

/** The same, running until `stop()` is called, which resolves to its result. Resolves itself with the first answer. */
export function generating(kind, options, core) {
  const child = spawnPinned(core, process.execPath, [GENERATOR, kind, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  let out = ''
  const ended = new Promise((resolve, reject) => {
    child.on('close', code => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`${kind}: exit ${code}`))))
  })
  const stop = () => {
    child.stdin.end()
    return ended
  }
  return new Promise((resolve, reject) => {
    ended.catch(reject)
    child.stdout.on('data', chunk => {
      out += chunk
      resolve({ stop })
    })
  })
}

const UNIT_MS = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }
const toMs = text => {
  const match = /^([\d.]+)(us|ms|s|m)$/.exec(text ?? '')
  return match ? Number(match[1]) * UNIT_MS[match[2]] : Number.NaN
}

/** Closed loop over keep-alive connections. `paths`: asked in turn; `bodyBytes`: POST with a body of that size. */
export async function http1Load(bench, { connections = 64, paths = ['/'], bodyBytes = 0 } = {}) {
  const { port, seconds, loadCore, dir, quick } = bench
  if (quick || !has('wrk'))
    return generate('http1Closed', { port, seconds, connections: quick ? 4 : connections, paths, bodyBytes }, loadCore)
  const script = join(dir, 'wrk.lua')
  const asked = paths.map(path => JSON.stringify(path)).join(', ')
  writeFileSync(
    script,
    `local paths = { ${asked} }
local method, body, headers = "${bodyBytes > 0 ? 'POST' : 'GET'}", ${bodyBytes > 0 ? `string.rep("b", ${bodyBytes})` : 'nil'}, {}
local made, n = {}, 0
init = function() for i, path in ipairs(paths) do made[i] = wrk.format(method, path, headers, body) end end
request = function() n = n % #made + 1; return made[n] end
`,
  )
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, `http://127.0.0.1:${port}/`]
  const out = await runTool('wrk', args, loadCore)
  const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(out) ?? /Socket errors: .*read ([1-9]\d*)/.exec(out)
  if (wrong) throw new Error(`wrk: ${wrong[0]}`)
  const total = /(\d+) requests in ([\d.]+)s/.exec(out)
  if (!total || Number(total[1]) === 0) throw new Error('wrk: no request was answered')
  return {
    units: Number(total[1]),
    seconds: Number(total[2]),
    p50Ms: toMs(/50%\s+(\S+)/.exec(out)?.[1]),
    p99Ms: toMs(/99%\s+(\S+)/.exec(out)?.[1]),
  }
}

/** `streams` at a time on each connection. */
export async function http2Load(bench, { connections = 8, streams = 16, grpc = false } = {}) {
  const { port, seconds, loadCore, dir, quick } = bench
  const args = ['-t1', `-c${quick ? 1 : connections}`, `-m${streams}`, quick ? '-n200' : `--duration=${seconds}`]
  if (grpc) {
    const file = join(dir, 'grpc-body.bin')
    writeFileSync(file, Buffer.concat([Buffer.from([0, 0, 0, 0, 65]), Buffer.alloc(65, 120)]))
    args.push('-d', file, '-H', 'content-type: application/grpc', '-H', 'te: trailers', `http://127.0.0.1:${port}/grpc.Echo/Unary`)
  } else args.push(`http://127.0.0.1:${port}/`)
  const out = await runTool('h2load', args, loadCore)
  const status = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(out)
  if (!status || Number(status[1]) === 0 || Number(status[3]) + Number(status[4]) > 0)
    throw new Error(`h2load: ${status?.[0] ?? out.slice(-300)}`)
  const finished = /finished in ([\d.]+(?:us|ms|s|m)), [\d.]+ req\/s/.exec(out)
  const times = /time for request:\s+(\S+)\s+(\S+)\s+(\S+)/.exec(out)
  return {
    units: Number(status[1]),
    seconds: toMs(finished[1]) / 1000,
    p50Ms: toMs(times?.[3]),
    p99Ms: Number.NaN,
    maxMs: toMs(times?.[2]),
  }
}
