// Runs this deployment on one machine: `node examples/consul/run.mjs` (README.md). Applications, control plane and a sidecar for each service;
// files and commands are those that one would give to Consul. Ends with Ctrl-C, or with --once after it has shown what it does.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const here = import.meta.dirname
const bin = name => join(here, '../../bin', name)
const HTTP = '127.0.0.1:28500'
const GRPC = '127.0.0.1:28502'
const UPSTREAM = 'http://127.0.0.1:28091'
const STARTS_WITHIN_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'outrigger-example-'))
const children = []
const servers = []

function stop() {
  for (const child of children) child.kill('SIGKILL')
  for (const server of servers) server.close()
  rmSync(dir, { recursive: true, force: true })
}

const outrigger = async (...argv) => (await promisify(execFile)(process.execPath, [bin('outrigger'), ...argv])).stdout
const remote = (command, ...argv) => outrigger(...command.split(' '), '--http-addr', HTTP, ...argv)
const filesOf = folder => readdirSync(join(here, folder)).map(name => join(here, folder, name))

function application(name, port) {
  const server = createServer((request, response) => response.end(`${name} ${request.url}\n`))
  servers.push(server.listen(port, '127.0.0.1'))
  server.once('error', error => {
    console.error(error.message)
    stop()
    process.exit(1)
  })
}

function start(...argv) {
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
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
  application('web', 28001)
  application('api v1', 28002)
  application('api v2', 28003)

  start(
    bin('outrigger'),
    'control',
    '--data-dir',
    join(dir, 'state'),
    '--http-addr',
    HTTP,
    '--grpc-addr',
    GRPC,
    '--dns-addr',
    'off',
    '--log-level',
    'error',
  )
  await until('control plane', () => get(`http://${HTTP}/v1/status/leader`))
  process.stdout.write(await remote('apply', ...filesOf('config-entries')))
  process.stdout.write(await remote('register', ...filesOf('services')))

  for (const [i, id] of ['web', 'api-v1', 'api-v2'].entries()) {
    const bootstrap = join(dir, `${id}.json`)
    writeFileSync(bootstrap, await remote('bootstrap', '--proxy-id', `${id}-sidecar-proxy`, '--admin-bind', `127.0.0.1:2803${i}`))
    start(bin('outrigger-proxy'), '-c', bootstrap, '--log-level', 'error')
  }
  await until('web calls api', async () => expectOk(await get(`${UPSTREAM}/`, { 'x-version': '2' })))
  await until('web calls api', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(`${UPSTREAM}/`)))
    for (const answer of answers) expectOk(answer)
  })

  const counts = new Map()
  for (let i = 0; i < 50; i++) {
    const { text } = await get(`${UPSTREAM}/`)
    counts.set(text, (counts.get(text) ?? 0) + 1)
  }
  console.log(`\n50 requests of web to api by the split: ${[...counts].map(([text, count]) => `${count} x "${text}"`).join(', ')}`)
  console.log(`with the header x-version: 2: ${(await get(`${UPSTREAM}/`, { 'x-version': '2' })).text}`)
  console.log(`/admin: ${(await get(`${UPSTREAM}/admin`)).status}`)
  console.log(
    `/health past the mesh: ${(await get('http://127.0.0.1:28022/health')).text}, anything else there: ${(await get('http://127.0.0.1:28022/')).status}`,
  )
  console.log(await remote('explain', '--from', 'web', '--to', 'api', '--method', 'GET', '--path', '/admin'))

  if (!process.argv.includes('--once')) {
    console.log(`Running: ${UPSTREAM} is api as web sees it, http://${HTTP} the control plane. Ctrl-C ends it.`)
    await new Promise(resolve => process.once('SIGINT', resolve).once('SIGTERM', resolve))
  }
} finally {
  stop()
}
