// Runs this deployment on one machine: `node examples/gateways/run.mjs` (README.md). An API gateway lets requests in, a terminating gateway
// lets them out to a service that knows nothing of the mesh. Ends with Ctrl-C, or with --once after it has shown what it does.
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const EDGE = 'http://127.0.0.1:28680'
const PARTNER = 'http://127.0.0.1:28691'
const deployment = new Deployment({ folder: import.meta.dirname, http: '127.0.0.1:28600', grpc: '127.0.0.1:28602' })

/** The proxy in the process of the command itself, its admin endpoint at `admin`. */
function run(admin, ...argv) {
  const { http } = deployment
  deployment.start(bin('outrigger'), ...argv, '--http-addr', http, '--admin-bind', `127.0.0.1:${admin}`, '--', '--log-level', 'error')
}

await deployment.run(async () => {
  // Somebody else's service: no sidecar, no certificate of ours.
  deployment.application(28605, request => `partner got ${request.url}\n`)
  // Ours asks it by the port of its own sidecar.
  deployment.application(28606, async request => {
    if (!request.url.startsWith('/offers')) return `shop ${request.url}\n`
    const { status, text } = await get(`${PARTNER}${request.url}`)
    return `shop: ${status} ${text}\n`
  })

  await deployment.control()
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
  const route = JSON.parse(await deployment.remote('config read', '-kind', 'http-route', '-name', 'shop'))
  console.log(`the route says: ${route.Status.Conditions.map(({ Type, Reason }) => `${Type} (${Reason})`).join(', ')}`)
}, `${EDGE} is the shop, http://${deployment.http} the control plane.`)
