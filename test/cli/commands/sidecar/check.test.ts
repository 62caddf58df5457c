// What `outrigger check` makes of versions and of checks that fail: a control plane and sidecars that answer as the test says. What it finds in a real mesh
// is test/integration/why-mesh.test.ts.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { runCommand } from '../../../support/cli-fixture.js'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** Answers by path; its address. */
async function serving(answers: Readonly<Record<string, unknown>>): Promise<string> {
  const server = createServer((request, response) => response.end(JSON.stringify(answers[request.url!.split('?')[0]!] ?? {})))
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const OURS = (digits: string): readonly [string, string] => [`${digits.padEnd(40, '0')}/1.40.0/Clean/RELEASE/OpenSSL`, 'outrigger']
const ENVOY = (version: string): readonly [string, string] => [
  `e5b2bdd2c1b1ebf5a2f4dbaf7d6dc7e6a04a5a5f/${version}/Clean/RELEASE/BoringSSL`,
  'envoy',
]

async function found(
  check: string,
  own: string,
  sidecars: readonly (readonly [string, string])[],
  critical: readonly object[] = [],
): Promise<string[]> {
  const admins = await Promise.all(
    sidecars.map(([version, user_agent_name]) => serving({ '/server_info': { version, node: { user_agent_name } } })),
  )
  const plane = await serving({
    '/v1/status/leader': '127.0.0.1:8300',
    '/v1/outrigger/console': { Version: own },
    '/v1/outrigger/proxies': admins.map((Admin, i) => ({
      ID: `p${i}`,
      Service: 's',
      Connected: true,
      Synced: true,
      AcknowledgedIndex: 1,
      Streams: [{ Admin, Protocol: 'delta', Types: [] }],
    })),
    '/v1/health/state/critical': critical,
    '/v1/config/service-defaults': [],
    '/v1/connect/intentions': [],
  })
  const { out } = await runCommand(['check'], { CONSUL_HTTP_ADDR: plane })
  return out.split('\n').filter(line => line.slice(2).startsWith(check))
}

it.each([
  ['all are of one release', '1.2.10', [OURS('01020a'), OURS('01020a')], ['✓ versions']],
  ['Envoys have numbers of their own', '0.1.0', [OURS('000100'), ENVOY('1.39.0')], ['✓ versions']],
  [
    'releases of ours differ, though they stand for one Envoy',
    '0.2.0',
    [OURS('000100'), OURS('000200')],
    ['✗ versions: sidecars run Outrigger 0.1.0 and 0.2.0'],
  ],
  [
    'the control plane has another one',
    '0.1.0',
    [OURS('000200'), OURS('000200')],
    ['✗ versions: the control plane runs Outrigger 0.1.0, its sidecars 0.2.0'],
  ],
  ['Envoys differ', '0.1.0', [ENVOY('1.38.1'), ENVOY('1.39.0')], ['✗ versions: sidecars run Envoy 1.38.1 and 1.39.0']],
] as const)('versions: %s', async (_name, own, sidecars, lines) => {
  expect(await found('versions', own, sidecars)).toEqual(lines)
})

it('an application that fails its check is an application, and no port of the sidecar that follows it', async () => {
  const critical = [
    { Name: 'alive', Type: 'tcp', ServiceID: 'api', Output: 'dial tcp 127.0.0.1:1: connection refused\nmore' },
    { Name: 'alias', Type: 'alias', ServiceID: 'p0', Output: '' },
    { Name: 'serf', Type: '', ServiceID: '', Output: 'a node' },
  ]
  const own = '0.1.0'
  expect(await found('applications', own, [OURS('000100')], critical)).toEqual([
    '✗ applications: api fails its check "alive": dial tcp 127.0.0.1:1: connection refused',
  ])
  expect(await found('ports', own, [OURS('000100')], critical)).toEqual(['✓ ports'])
  const listener = { Name: 'listener', Type: 'tcp', ServiceID: 'p0', Output: 'no answer' }
  expect(await found('ports', own, [OURS('000100')], [listener])).toEqual(['✗ ports: p0 does not answer where it is registered: no answer'])
})
