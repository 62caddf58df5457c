// Runs this deployment on one machine: `node examples/consul/run.mjs` (README.md). Applications, control plane and a sidecar for each service;
// files and commands are those that one would give to Consul. Ends with Ctrl-C, or with --once after it has shown what it does.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const UPSTREAM = 'http://127.0.0.1:28091'
const deployment = new Deployment({ folder: import.meta.dirname, http: '127.0.0.1:28500', grpc: '127.0.0.1:28502' })

await deployment.run(async () => {
  for (const [port, name] of [
    [28001, 'web'],
    [28002, 'api v1'],
    [28003, 'api v2'],
  ])
    deployment.application(port, request => `${name} ${request.url}\n`)

  await deployment.control()
  for (const [i, id] of ['web', 'api-v1', 'api-v2'].entries()) {
    const bootstrap = join(deployment.dir, `${id}.json`)
    writeFileSync(
      bootstrap,
      await deployment.remote('bootstrap', '--proxy-id', `${id}-sidecar-proxy`, '--admin-bind', `127.0.0.1:2803${i}`),
    )
    deployment.start(bin('outrigger-proxy'), '-c', bootstrap, '--log-level', 'error')
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
  console.log(await deployment.remote('explain', '--from', 'web', '--to', 'api', '--method', 'GET', '--path', '/admin'))
}, `${UPSTREAM} is api as web sees it, http://${deployment.http} the control plane.`)
