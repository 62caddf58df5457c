// Runs this deployment on one machine: `node examples/rollout/run.mjs` (README.md). Version 2 of a shop is rolled out under load, step by step;
// version 3 is bad, and goes back by itself. Ends with Ctrl-C, or with --once after it has shown what it does.
import { join } from 'node:path'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const SHOP = 'http://127.0.0.1:28991'
const deployment = new Deployment({
  folder: import.meta.dirname,
  http: '127.0.0.1:28950',
  grpc: '127.0.0.1:28952',
  flags: ['--load-report-interval', '1s'],
})
const answers = new Map()
let stopped = false

/** What customers see while versions come and go. */
async function load() {
  while (!stopped) {
    const { status, text } = await get(SHOP).catch(error => ({ status: 'error', text: error.message }))
    const key = status === 200 ? text : `${status} ${text}`
    answers.set(key, (answers.get(key) ?? 0) + 1)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Lines of the audit trail, and what the customers got meanwhile. */
async function roll(file, name) {
  answers.clear()
  process.stdout.write(await deployment.remote('apply', join(import.meta.dirname, file)))
  process.stdout.write(await deployment.remote('rollout start', name))
  // Exit code 2 says that it went back.
  const trail = await deployment.remote('rollout watch', name).catch(error => error.stdout)
  console.log(`\n${trail}\nMeanwhile the customers got: ${[...answers].map(([text, count]) => `${text} ${count} times`).join(', ')}\n`)
}

await deployment.run(async () => {
  let asked = 0
  deployment.application(28906, () => 'web')
  deployment.application(28901, () => 'version 1')
  deployment.application(28902, () => 'version 2')
  deployment.application(28903, (_request, response) => {
    if (++asked % 3 === 0) response.statusCode = 500
    return 'version 3'
  })
  await deployment.control()
  for (const id of ['web', 'shop-v1', 'shop-v2', 'shop-v3'])
    deployment.start(
      bin('outrigger'),
      'connect',
      'envoy',
      '-sidecar-for',
      id,
      '--http-addr',
      deployment.http,
      '--admin-bind',
      '127.0.0.1:0',
      '--',
      '--log-level',
      'error',
    )
  await until('the shop', async () => expectOk(await get(SHOP)))
  load()
  await roll('good.yaml', 'shop-v2')
  await roll('bad.yaml', 'shop-v3')
  stopped = true
}, `${SHOP} is the shop, http://${deployment.http} the control plane.`)
