// A mesh in a test: control plane and two sidecars in the test's own process, on free ports, with nothing left behind. Run it with
// `node --test examples/embed/control-plane.test.mjs`.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { ControlPlane, Sidecar } from 'outrigger'

const closing = []
let upstream = ''
let control

async function listening(server) {
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => server.close())
  return server.address().port
}

async function freePort() {
  const server = createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

before(async () => {
  const api = createServer((request, response) =>
    response.end(`hello ${request.headers['x-forwarded-client-cert']?.match(/URI=([^;]+)/)?.[1]}`),
  )
  const apiPort = await listening(api)
  const [apiProxyPort, webProxyPort, upstreamPort] = [await freePort(), await freePort(), await freePort()]
  control = await ControlPlane.start({ datacenter: 'test' })
  closing.push(() => control.close())
  await control.apply({
    configEntries: [
      { Kind: 'service-defaults', Name: 'api', Protocol: 'http' },
      { Kind: 'service-defaults', Name: 'web', Protocol: 'http' },
    ],
    services: [
      { Name: 'api', Port: apiPort, Connect: { SidecarService: { Address: '127.0.0.1', Port: apiProxyPort } } },
      {
        Name: 'web',
        Port: 1,
        Connect: {
          SidecarService: {
            Address: '127.0.0.1',
            Port: webProxyPort,
            Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: upstreamPort }] },
          },
        },
      },
    ],
  })
  for (const service of ['api', 'web']) {
    const sidecar = await Sidecar.start({
      xds: { address: control.addresses.grpc, node: { id: `${service}-sidecar-proxy`, cluster: service } },
    })
    closing.push(() => sidecar.close())
    await sidecar.ready()
  }
  upstream = `http://127.0.0.1:${upstreamPort}/`
})

after(async () => {
  for (const close of closing.reverse()) await close()
})

test('what no intention allows is refused', async () => {
  assert.equal((await fetch(upstream)).status, 403)
})

test('an intention lets web call api, which learns who called', async () => {
  await control.apply({ configEntries: [{ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] }] })
  // It bites once the sidecar of api has it.
  let response = await fetch(upstream)
  for (let tries = 0; response.status === 403 && tries < 100; tries++) {
    await new Promise(resolve => setTimeout(resolve, 20))
    response = await fetch(upstream)
  }
  assert.equal(response.status, 200)
  assert.match(await response.text(), /^hello spiffe:\/\/.+\/svc\/web$/)
})
