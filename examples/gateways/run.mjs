// Runs this deployment on one machine: `node examples/gateways/run.mjs` (README.md). An API gateway lets requests in, a terminating gateway
// lets them out to a service that knows nothing of the mesh. Ends with Ctrl-C, or with --once after it has shown what it does.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const here = import.meta.dirname
const outriggerBin = join(here, '../../bin/outrigger')
const HTTP = '127.0.0.1:28600'
const GRPC = '127.0.0.1:28602'
const EDGE = 'http://127.0.0.1:28680'
const PARTNER = 'http://127.0.0.1:28691'
const STARTS_WITHIN_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'outrigger-gateways-'))
const children = []
const servers = []

function stop() {
  for (const child of children) child.kill('SIGKILL')
  for (const server of servers) server.close()
  rmSync(dir, { recursive: true, force: true })
}

const remote = async (command, ...argv) =>
  (await promisify(execFile)(process.execPath, [outriggerBin, ...command.split(' '), '--http-addr', HTTP, ...argv])).stdout
const filesOf = folder => readdirSync(join(here, folder)).map(name => join(here, folder, name))

function application(port, answer) {
  const server = createServer(async (request, response) => response.end(await answer(request)))
  servers.push(server.listen(port, '127.0.0.1'))
  server.once('error', error => {
    console.error(error.message)
    stop()
    process.exit(1)
  })
}

function start(...argv) {
  children.push(spawn(process.execPath, [outriggerBin, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] }))
}

/** The proxy in the process of the command itself, its admin endpoint at `admin`. */
function run(admin, ...argv) {
  start(...argv, '--http-addr', HTTP, '--admin-bind', `127.0.0.1:${admin}`, '--', '--log-level', 'error')
}

async function until(what, task) {
  const end = Date.now() + STARTS_WITHIN_MS
  for (;;) {
    try {
      return await task()
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${error.message}`)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

const get = async (url, headers = {}) => {
  const response = await fetch(url, { headers })
  return { status: response.status, text: (await response.text()).trim() }
}
const expectOk = answer => {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return answer
}

try {
  // Somebody else's service: no sidecar, no certificate of ours.
  application(28605, request => `partner got ${request.url}\n`)
  // Ours asks it by the port of its own sidecar.
  application(28606, async request => {
    if (!request.url.startsWith('/offers')) return `shop ${request.url}\n`
    const { status, text } = await get(`${PARTNER}${request.url}`)
    return `shop: ${status} ${text}\n`
  })

  start('control', '--data-dir', join(dir, 'state'), '--http-addr', HTTP, '--grpc-addr', GRPC, '--dns-addr', 'off', '--log-level', 'error')
  await until('control plane', () => get(`http://${HTTP}/v1/status/leader`))
  process.stdout.write(await remote('apply', ...filesOf('config-entries')))
  process.stdout.write(await remote('register', ...filesOf('services')))

  run(28630, 'connect', 'envoy', '-sidecar-for', 'shop')
  run(28631, 'gateway', 'api', '-service', 'edge', '-address', '127.0.0.1:28680')
  run(28632, 'connect', 'envoy', '-gateway', 'terminating', '-register', '-service', 'exit', '-address', '127.0.0.1:28643')
  await until('in, and out again', async () => {
    const { text } = expectOk(await get(`${EDGE}/offers`))
    if (!text.startsWith('shop: 200')) throw new Error(text)
  })

  console.log(`\nin by the API gateway: ${(await get(`${EDGE}/`)).text}`)
  console.log(`and out by the terminating gateway: ${(await get(`${EDGE}/offers`)).text}`)
  console.log(`a path that no route has: ${(await get(`${EDGE}/admin`)).status}`)
  const route = JSON.parse(await remote('config read', '-kind', 'http-route', '-name', 'shop'))
  console.log(`the route says: ${route.Status.Conditions.map(({ Type, Reason }) => `${Type} (${Reason})`).join(', ')}`)

  if (!process.argv.includes('--once')) {
    console.log(`Running: ${EDGE} is the shop, http://${HTTP} the control plane. Ctrl-C ends it.`)
    await new Promise(resolve => process.once('SIGINT', resolve).once('SIGTERM', resolve))
  }
} finally {
  stop()
}
