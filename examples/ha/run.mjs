// Three control planes on a three-node etcd on one machine: `node examples/ha/run.mjs` (README.md). Each is killed in its turn while customers
// shop and a program writes; both go on. Ends with Ctrl-C, or with --once after it has shown what it does. Needs `etcd` in the path, or ETCD_BIN.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const SHOP = 'http://127.0.0.1:29041'
const ETCD = [29010, 29012, 29014]
const HTTP = [29001, 29002, 29003]
const GRPC = [29021, 29022, 29023]
const store = `etcd://${ETCD.map(port => `127.0.0.1:${port}`).join(',')}`
const deployment = new Deployment({ folder: import.meta.dirname, http: `127.0.0.1:${HTTP[0]}`, grpc: `127.0.0.1:${GRPC[0]}` })
const api = (i, path) => `http://127.0.0.1:${HTTP[i]}/v1/${path}`
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

function startEtcd(i) {
  const [client, peer] = [ETCD[i], ETCD[i] + 1].map(port => `http://127.0.0.1:${port}`)
  const cluster = ETCD.map((port, n) => `node-${n + 1}=http://127.0.0.1:${port + 1}`).join(',')
  const folder = join(deployment.dir, `etcd-${i + 1}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const urls = [
    '--listen-client-urls',
    client,
    '--advertise-client-urls',
    client,
    '--listen-peer-urls',
    peer,
    '--initial-advertise-peer-urls',
    peer,
  ]
  const names = [
    '--name',
    `node-${i + 1}`,
    '--initial-cluster',
    cluster,
    '--data-dir',
    folder,
    '--logger',
    'zap',
    '--log-outputs',
    '/dev/null',
    '--auto-compaction-retention',
    '10m',
  ]
  return deployment.program(process.env.ETCD_BIN ?? 'etcd', ...names, ...urls)
}

function startControl(i) {
  const addresses = ['--http-addr', `127.0.0.1:${HTTP[i]}`, '--grpc-addr', `127.0.0.1:${GRPC[i]}`, '--dns-addr', 'off']
  return deployment.start(
    bin('outrigger'),
    'control',
    '--store',
    store,
    '--node-name',
    `control-${i + 1}`,
    ...addresses,
    '--log-level',
    'off',
  )
}

const answers = new Map()
const written = new Map()
let stopped = false
let lastWriteAt = 0
let longestMs = 0

async function shop() {
  while (!stopped) {
    const { status, text } = await get(SHOP).catch(error => ({ status: 'error', text: error.message }))
    const key = status === 200 ? text : `${status} ${text}`
    answers.set(key, (answers.get(key) ?? 0) + 1)
    await pause(5)
  }
}

/** To any replica that takes it. What was acknowledged is asked for in the end. */
async function write() {
  lastWriteAt = Date.now()
  for (let n = 0; !stopped; n++) {
    const key = `orders/${n}`
    for (let i = n; !written.has(key) && !stopped; i++) {
      const asked = fetch(api(i % 3, `kv/${key}`), { method: 'PUT', body: `order ${n}`, signal: AbortSignal.timeout(15_000) })
      const answer = await asked.then(response => response.text()).catch(() => '')
      if (answer.trim() !== 'true') {
        await pause(20)
        continue
      }
      written.set(key, `order ${n}`)
      longestMs = Math.max(longestMs, Date.now() - lastWriteAt)
      lastWriteAt = Date.now()
    }
    await pause(10)
  }
}

/** What customers and the program saw while `task` ran. */
async function watching(what, task) {
  answers.clear()
  longestMs = 0
  const before = written.size
  await task()
  await until('writes', async () => expectOk({ status: written.size > before + 50 ? 200 : 0, text: 'no writes' }))
  const got = [...answers].map(([text, count]) => `${text} ${count} times`).join(', ')
  console.log(
    `${what}\n  customers got: ${got}\n  writes acknowledged: ${written.size - before}, longest pause ${(longestMs / 1_000).toFixed(1)} s\n`,
  )
}

async function intention(i, action) {
  const body = JSON.stringify({ Kind: 'service-intentions', Name: 'shop', Sources: [{ Name: 'web', Action: action }] })
  expectOk({ status: (await fetch(api(i, 'config'), { method: 'PUT', body })).status, text: 'intention' })
}

async function showsThatOthersServe() {
  await intention(1, 'deny')
  await until('the sidecars follow another one', async () =>
    expectOk({ status: (await get(SHOP)).status === 403 ? 200 : 0, text: 'still allowed' }),
  )
  await intention(2, 'allow')
  await until('the shop', async () => expectOk(await get(SHOP)))
  console.log('what was written to control-2 and control-3 has reached the sidecars\n')
}

await deployment.run(async () => {
  deployment.application(29031, () => 'web')
  deployment.application(29033, () => 'hello')
  const etcds = ETCD.map((_, i) => startEtcd(i))
  await until('etcd', async () => expectOk(await get(`http://127.0.0.1:${ETCD[0]}/health`)))
  const controls = HTTP.map((_, i) => startControl(i))
  const ready = i =>
    until(`control-${i + 1}`, async () =>
      expectOk({ status: JSON.parse((await get(api(i, 'status/peers'))).text).length === 3 ? 200 : 0, text: 'not all' }),
    )
  await Promise.all([0, 1, 2].map(ready))
  await deployment.applyFolder()
  for (const id of ['web', 'shop'])
    deployment.start(
      ...[bin('outrigger'), 'connect', 'envoy', '-sidecar-for', id, '--http-addr', deployment.http, '--admin-bind', '127.0.0.1:0'],
      ...['--', '--log-level', 'off'],
    )
  await until('the shop', async () => expectOk(await get(SHOP)))
  shop()
  write()

  for (const i of HTTP.keys()) {
    await watching(`control-${i + 1}${i === 0 ? ', which the sidecars follow,' : ''} is killed`, async () => {
      controls[i].kill('SIGKILL')
      await pause(1_000)
    })
    if (i === 0) await showsThatOthersServe()
    controls[i] = startControl(i)
    await ready(i)
  }
  for (const i of ETCD.keys()) {
    await watching(`node-${i + 1} of etcd is killed`, async () => {
      etcds[i].kill('SIGKILL')
      await pause(1_000)
    })
    etcds[i] = startEtcd(i)
    await until(`node-${i + 1} of etcd`, async () => expectOk(await get(`http://127.0.0.1:${ETCD[i]}/health`)))
  }
  stopped = true
  const kept = JSON.parse((await get(api(0, 'kv/orders/?recurse&consistent'))).text)
  const values = new Map(kept.map(({ Key, Value }) => [Key, Buffer.from(Value, 'base64').toString()]))
  const lost = [...written].filter(([key, value]) => values.get(key) !== value)
  console.log(`${written.size} writes were acknowledged, ${lost.length} of them are lost`)
}, `${SHOP} is the shop, http://127.0.0.1:${HTTP[0]}, :${HTTP[1]} and :${HTTP[2]} the control planes.`)
