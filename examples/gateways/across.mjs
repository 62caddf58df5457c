// Two meshes on one machine that are peered: `node examples/gateways/across.mjs` (README.md). A service of west calls one of east, by the mesh
// gateways of both. Ends with Ctrl-C, or with --once after it has shown what it does.
import { join } from 'node:path'
import { bin, Deployment, expectOk, get, until } from '../deployment.mjs'

const API = 'http://127.0.0.1:28791'

function mesh(datacenter, port) {
  const address = offset => `127.0.0.1:${port + offset}`
  const flags = ['--datacenter', datacenter, '--grpc-tls-addr', address(3)]
  return new Deployment({ folder: join(import.meta.dirname, 'across', datacenter), http: address(0), grpc: address(2), flags })
}

const east = mesh('east', 28700)
const west = mesh('west', 28710)

function run(deployment, admin, ...argv) {
  const { http } = deployment
  deployment.start(bin('outrigger'), ...argv, '--http-addr', http, '--admin-bind', `127.0.0.1:${admin}`, '--', '--log-level', 'error')
}

try {
  await east.run(async () => {
    east.application(28705, request => `api of east got ${request.url}\n`)
    await Promise.all([east.control(), west.control()])
    const token = (await east.remote('peering generate-token', '-name', 'west')).trim()
    process.stdout.write(await west.remote('peering establish', '-name', 'east', '-peering-token', token))

    run(east, 28730, 'connect', 'envoy', '-sidecar-for', 'api')
    run(east, 28731, 'gateway', 'mesh', '-service', 'east-gateway', '-address', '127.0.0.1:28743')
    run(west, 28732, 'connect', 'envoy', '-sidecar-for', 'web')
    run(west, 28733, 'gateway', 'mesh', '-service', 'west-gateway', '-address', '127.0.0.1:28753')
    const across = await until('across', async () => expectOk(await get(`${API}/hello`)))

    console.log(`\nacross, by both gateways: ${across.text}`)
    process.stdout.write(await west.remote('peering list'))
    await east.remote('config delete', '-kind', 'service-intentions', '-name', 'api')
    const { status } = await until('the exporter decides', async () => {
      const answer = await get(`${API}/hello`)
      if (answer.status !== 403) throw new Error(String(answer.status))
      return answer
    })
    console.log(`without an intention in east: ${status}`)
    process.stdout.write(await east.remote('apply', join(east.folder, 'config-entries/web-to-api.hcl')))
  }, `${API} is east's api as west's web calls it.`)
} finally {
  west.stop()
}
