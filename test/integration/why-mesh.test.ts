// A 503 two hops away: the callee's sidecar knows the reason, tells the caller's (a validated mesh peer), which says it in its own log and to
// its application, and `outrigger why` prints both hops. Under our control plane, by default.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { freePort, type ProxyProcess, until } from '../support/proxy-process.js'

const mesh = new MeshFixture()
let web: Registered
let deadPort: number
let webSidecar: ProxyProcess
let apiSidecar: ProxyProcess

beforeAll(async () => {
  await mesh.start()
  deadPort = await freePort()
  await mesh.register('api', { name: 'api', port: deadPort })
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/open' } }] }])
  apiSidecar = await mesh.sidecar('api')
  webSidecar = await mesh.sidecar('web')
})
afterAll(() => mesh.stop())

async function ask(path: string, id: string) {
  const client = await Http1Client.connect(web.upstreams.get('api')!)
  try {
    return await client.send(`GET ${path} HTTP/1.1\r\nhost: api\r\nx-request-id: ${id}\r\n\r\n`)
  } finally {
    client.destroy()
  }
}

describe('an application that is not there', () => {
  it('is named in the log of both sidecars, and to the caller', async () => {
    const answer = await until('the mesh is up', async () => {
      const first = await ask('/open', 'dead-app')
      return first.headers.get('x-outrigger-reason') === undefined ? null : first
    })
    expect(answer.status).toBe(503)
    expect(answer.headers.get('x-outrigger-reason')).toMatch(new RegExp(`^no connection to 127\\.0\\.0\\.1:${deadPort}: `))
    await apiSidecar.untilLog(new RegExp(`upstream local_app: no connection to 127\\.0\\.0\\.1:${deadPort}: `))
    await webSidecar.untilLog(/upstream api\.\S+: 127\.0\.0\.1:\d+ answered 503: no connection to 127\.0\.0\.1:/)
  })

  it('is a story of two hops', async () => {
    const out = await mesh.outrigger(
      'why',
      'dead-app',
      '--admin',
      `127.0.0.1:${webSidecar.adminPort}`,
      '--admin',
      `127.0.0.1:${apiSidecar.adminPort}`,
    )
    // The control plane knows where the sidecars' admins are.
    expect(await mesh.outrigger('why', 'dead-app')).toBe(out)
    const [first, second] = out.split('\nhop 2: ')
    expect(first).toMatch(/^hop 1: GET api\/open -> 503/)
    expect(first).toContain(`answered 503: no connection to 127.0.0.1:${deadPort}`)
    expect(second).toMatch(/^GET api\/open -> 503 UF/)
    expect(second).toMatch(/from spiffe:\/\/\S+\/svc\/web\n/)
    expect(second).toContain(`failure: no connection to 127.0.0.1:${deadPort}`)
  })
})

it('a denial is told by its rule', async () => {
  const { status } = await ask('/closed', 'denied-1')
  expect(status).toBe(403)
  const out = await mesh.outrigger(
    'why',
    'denied-1',
    '--admin',
    `127.0.0.1:${webSidecar.adminPort}`,
    '--admin',
    `127.0.0.1:${apiSidecar.adminPort}`,
  )
  expect(out).toMatch(/denied: intention "web -> api": source matched, path \/closed did not; default deny/)
  await webSidecar.untilLog(/answered 403: intention \\?"web -> api/)
})

it('check finds what is wrong, each with a hint', async () => {
  await mesh.intention('old', [{ Name: 'web', Action: 'allow' }])
  await mesh.register('idle', { name: 'idle' })
  const failed = await mesh.outrigger('check').then(
    () => null,
    (error: { code: number; stdout: string }) => error,
  )
  expect(failed).toMatchObject({ code: 2 })
  const { stdout } = failed!
  for (const good of ['clock', 'configuration', 'admin addresses', 'certificates', 'versions']) expect(stdout).toContain(`✓ ${good}\n`)
  expect(stdout).toContain('✗ sidecars: idle-sidecar-proxy is not connected\n    start it: outrigger connect envoy -sidecar-for idle\n')
  expect(stdout).toContain('✗ intentions: they name the service "old", which is not registered\n')
  expect(stdout).toContain(`✗ applications: api-sidecar-proxy does not reach its application at 127.0.0.1:${deadPort}\n`)
})

it('a proxy is looked into by its name', async () => {
  expect(await mesh.outrigger('proxy-config', 'listeners', 'api-sidecar-proxy')).toContain('public_listener:127.0.0.1:')
  await expect(mesh.outrigger('proxy-config', 'listeners', 'nobody')).rejects.toThrow(/unknown proxy ID: nobody/)
})
