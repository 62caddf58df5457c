// "Why was I denied?" end to end: what bin/outrigger explain says, what the sidecar does, and where the reason can be read: header (mesh
// peers only), access log, response code details, counters (envoyproxy/envoy#36346, #12681, #12873; istio/istio#39802; consul#10753).
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const origin = new HttpOrigin((_, socket) => void socket.write(http('from api')))
const echo = new EchoOrigin()
const mesh = new MeshFixture()
const callers = ['web', 'batch', 'admin', 'web-v2', 'nobody'] as const
let api: Registered
let db: Registered
let sidecar: ProxyProcess
let dbSidecar: ProxyProcess

const fields = ['status', 'details', 'by', 'why', 'end', 'path'] as const
const format =
  'LOG|%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|%DYNAMIC_METADATA(outrigger:denied_by)%|' +
  '%DYNAMIC_METADATA(outrigger:denied_reason)%|%CONNECTION_TERMINATION_DETAILS%|%REQ(:PATH)%'

beforeAll(async () => {
  await origin.listen()
  await echo.listen()
  await mesh.start()
  await mesh.write('/v1/config', {
    Kind: 'proxy-defaults',
    Name: 'global',
    AccessLogs: { Enabled: true, DisableListenerLogs: true, TextFormat: format },
  })
  api = await mesh.register('api', { name: 'api', port: origin.port })
  db = await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
  for (const name of callers) await mesh.register(name, { name })
  await mesh.intention('api', [
    {
      Name: 'web',
      Permissions: [
        { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
        { Action: 'allow', HTTP: { PathPrefix: '/', Methods: ['GET', 'HEAD'] } },
        { Action: 'allow', HTTP: { PathExact: '/upload', Methods: ['POST'] } },
      ],
    },
    { Name: 'batch', Action: 'deny' },
    { Name: 'admin', Action: 'allow' },
    { Name: 'web-v2', Permissions: [{ Action: 'allow', HTTP: { PathRegex: '/v[0-9]+/items' } }] },
  ])
  await mesh.intention('db', [
    { Name: 'web', Action: 'allow' },
    { Name: '*', Action: 'deny' },
  ])
  sidecar = await mesh.sidecar('api')
  dbSidecar = await mesh.sidecar('db')
})
afterAll(async () => {
  await mesh.stop()
  await origin.close()
  await echo.close()
})

interface Explained {
  allowed: boolean
  reason: string
  precedence: { name: string; precedence: number; matches: boolean; decides: boolean }[]
}

const cases: [from: string, method: string, path: string, intention: string | null][] = [
  ['web', 'GET', '/', 'web -> api'],
  ['web', 'GET', '/items?x=/admin', 'web -> api'],
  ['web', 'GET', '/admin', 'web -> api'],
  ['web', 'GET', '/admin/users', 'web -> api'],
  ['web', 'POST', '/items', 'web -> api'],
  ['web', 'POST', '/upload', 'web -> api'],
  ['web', 'POST', '/upload/2', 'web -> api'],
  ['web', 'DELETE', '/upload', 'web -> api'],
  ['batch', 'GET', '/', 'batch -> api'],
  ['admin', 'DELETE', '/admin', 'admin -> api'],
  ['web-v2', 'GET', '/v12/items', 'web-v2 -> api'],
  ['web-v2', 'GET', '/v12/items/1', 'web-v2 -> api'],
  ['web-v2', 'GET', '/x/v12/items', 'web-v2 -> api'],
  ['nobody', 'GET', '/', null],
]

const logLines = (proxy: ProxyProcess): Record<string, string>[] =>
  proxy.log
    .split('\n')
    .filter(line => line.startsWith('LOG|'))
    .map(line => {
      const values = line.split('|').slice(1)
      return Object.fromEntries(fields.map((name, i) => [name, values[i]!]))
    })

async function asCaller(service: string): Promise<tls.ConnectionOptions> {
  const { cert, key, ca } = await mesh.leaf(service)
  return { cert, key, ca }
}

describe('explain', () => {
  it.each(cases)(
    '%s %s %s: the decision, the sidecar, the header, the log and the counter agree',
    async (from, method, path, intention) => {
      // The command prints what this address answers; three cases below go through the command itself.
      const query = new URLSearchParams({ from, to: 'api', method, path })
      const explained = (await mesh.read(`/v1/outrigger/explain?${query}`)) as Explained
      const client = await Http1Client.connect(api.publicPort, await asCaller(from))
      const marked = `${path}${path.includes('?') ? '&' : '?'}case=${cases.findIndex(row => row[0] === from && row[1] === method && row[2] === path)}`
      const before = await sidecar.stats()
      const answer = await client.send(`${method} ${marked} HTTP/1.1\r\nhost: api\r\ncontent-length: 0\r\n\r\n`)
      client.destroy()
      expect({ from, method, path, status: answer.status }).toEqual({ from, method, path, status: explained.allowed ? 200 : 403 })
      expect(explained.precedence.filter(row => row.decides).map(row => row.name)).toEqual(intention === null ? [] : [intention])
      expect(explained.precedence.map(row => row.precedence)).toEqual(
        [...explained.precedence.map(row => row.precedence)].sort((a, b) => b - a),
      )
      const why = answer.headers.get('x-outrigger-denied-by')
      if (explained.allowed) {
        expect(why).toBeUndefined()
        return
      }
      expect(why).toContain(intention ?? 'no intention matched')
      const line = await until('the access log line', () => logLines(sidecar).find(entry => entry['path'] === marked))
      expect(line).toMatchObject({ status: '403', why, by: intention ?? expect.any(String) })
      expect(line['details']).toBe(`rbac_access_denied_matched_policy[${intention?.replaceAll(' ', '_') ?? 'none'}]`)
      const counter = `http.public_listener.rbac.policy.${intention?.replaceAll(' ', '') ?? 'none'}.denied`
      expect((await sidecar.stats()).get(counter)).toBe((before.get(counter) ?? 0) + 1)
      await sidecar.untilLog(`request denied: ${JSON.stringify(why).slice(1, -1)}`)
    },
  )

  it('tells the nearest miss: the source matched, the path or the method did not', async () => {
    const caller = await asCaller('web-v2')
    const answer = await fetchOnce(api.publicPort, '/other', {}, caller)
    expect(answer.headers.get('x-outrigger-denied-by')).toMatch(/"web-v2 -> api": source matched, path \/other did not; default deny/)
  })

  it('prints decision, reason and the precedence list for people', async () => {
    const text = await mesh.outrigger('explain', '--from', 'batch', '--to', 'db')
    expect(text).toMatch(/^denied: batch -> db \(tcp\)\nreason: .*\* -> db/)
    expect(text).toMatch(/=>\s+8\s+\* -> db\s+deny\s+yes/)
    expect(text).toMatch(/9\s+web -> db\s+allow\s+no/)
    expect(await mesh.outrigger('explain', '--from', 'web', '--to', 'db')).toMatch(/^allowed: web -> db/)
    const args = ['explain', '--from', 'web', '--to', 'api', '--method', 'POST', '--path', '/items', '--json']
    expect(JSON.parse(await mesh.outrigger(...args))).toEqual(
      await mesh.read('/v1/outrigger/explain?from=web&to=api&method=POST&path=/items'),
    )
  })

  it('answers in Consul’s shapes what the sidecar does for a connection', async () => {
    for (const source of ['web', 'batch']) {
      const { Allowed } = await mesh.read(`/v1/connect/intentions/check?source=${source}&destination=db`)
      const { uri } = await mesh.leaf(source)
      const { text } = await mesh.writeFor('/v1/agent/connect/authorize', { Target: 'db', ClientCertURI: uri }, 'POST')
      expect(JSON.parse(text).Authorized).toBe(Allowed)
      const socket = tls.connect({ port: db.publicPort, host: '127.0.0.1', rejectUnauthorized: false, ...(await asCaller(source)) })
      socket.on('error', () => {})
      socket.write('ping')
      const got = await new Promise(resolve => {
        socket.once('data', chunk => resolve(chunk.toString()))
        socket.once('close', () => resolve(null))
      })
      socket.destroy()
      expect(got).toBe(Allowed ? 'ping' : null)
    }
    const line = await until('the TCP access log line', () => logLines(dbSidecar).find(entry => entry['by'] === '* -> db'))
    expect(line).toMatchObject({ end: 'rbac_access_denied_matched_policy[*_->_db]', why: 'intention "* -> db" denies' })
    expect(await dbSidecar.stat('connect_authz.rbac.policy.*->db.denied')).toBe(1)
    await dbSidecar.untilLog('connection refused: intention \\"* -> db\\" denies')
  })

  it('a client without a mesh certificate is told nothing: no handshake, no header, no name of a rule', async () => {
    const { ca } = await mesh.leaf('web')
    const socket = tls.connect({ port: api.publicPort, host: '127.0.0.1', rejectUnauthorized: false, ca })
    let bytes = 0
    socket.on('error', () => {})
    socket.on('data', chunk => (bytes += chunk.length))
    socket.once('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: api\r\n\r\n'))
    // Not `once`: the alert comes as an error first.
    await new Promise<void>(resolve => socket.once('close', () => resolve()))
    expect(bytes).toBe(0)
  })

  it('the Prometheus form carries the intention as a label, for requests and for connections', async () => {
    const connections = (await dbSidecar.get('/stats/prometheus')).body
    expect(connections).toMatch(/envoy_rbac_policy_denied\{[^}]*envoy_rbac_policy_name="\*->db"[^}]*\} 1/)
    const page = (await sidecar.get('/stats/prometheus')).body
    expect(page).toMatch(/envoy_http_rbac_policy_denied\{[^}]*envoy_rbac_policy_name="batch->api"[^}]*\} 1/)
  })
})
