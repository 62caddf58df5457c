// The admin API's own rules and what can be changed by it; where Envoy is installed it gives the same answers, but for what we refuse.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, ProxyProcess, socketAddress, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'

const envoy = process.env['ENVOY_BIN']
const dir = mkdtempSync(join(tmpdir(), 'outrigger-admin-'))
afterAll(async () => {
  await stopAll()
  rmSync(dir, { recursive: true, force: true })
})

const PATHS = [{ prefix: '/ready' }, { prefix: '/runtime' }, { prefix: '/clusters' }, { exact: '/logging' }, { prefix: '/logging?' }]

async function start(bin: string | undefined, name: string): Promise<ProxyProcess> {
  const adminPort = await freePort()
  const accessLog = typed('file', 'access_loggers.file.v3.FileAccessLog', {
    path: join(dir, `${name}.access`),
    log_format: { text_format_source: { inline_string: '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%\n' } },
  })
  return ProxyProcess.start({
    bootstrap: {
      admin: { address: socketAddress(adminPort), allow_paths: PATHS, access_log: [accessLog] },
      layered_runtime: {
        layers: [
          { name: 'fixed', static_layer: { foo: 1 } },
          { name: 'admin', admin_layer: {} },
        ],
      },
      static_resources: { clusters: [staticCluster('app', 1), staticCluster('other', 2)] },
    },
    adminPort,
    flags: ['--log-path', join(dir, `${name}.log`), '--file-flush-interval-msec', '100'],
    ...(bin === undefined ? {} : { bin }),
  })
}

function ask(port: number, path: string, headers: Record<string, string>, method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, method, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode!, body }))
    })
      .on('error', reject)
      .end()
  })
}

const kinds: [string, string | undefined][] = [
  ['Outrigger', undefined],
  ...(envoy === undefined ? [] : [['Envoy', envoy] as [string, string]]),
]

describe.each(kinds)('%s', (name, bin) => {
  let proxy: ProxyProcess
  beforeAll(async () => {
    proxy = await start(bin, name)
  })

  it('answers the paths of allow_paths alone, their queries among them', async () => {
    expect((await proxy.get('/ready')).status).toBe(200)
    const refused = await proxy.get('/stats?filter=x')
    expect([refused.status, refused.body.trim()]).toEqual([403, 'request to path /stats?filter=x not allowed'])
    expect((await proxy.post('/quitquitquit')).status).toBe(403)
  })

  it('/runtime_modify sets keys of the admin layer and takes them back', async () => {
    expect((await proxy.post('/runtime_modify?foo=5&bar=x')).body).toBe('OK\n')
    const { entries } = await proxy.json('/runtime')
    expect(entries.foo).toEqual({ layer_values: ['1', '5'], final_value: '5' })
    expect(entries.bar).toEqual({ layer_values: ['', 'x'], final_value: 'x' })
    expect((await proxy.post('/runtime_modify?foo=&bar=')).body).toBe('OK\n')
    expect((await proxy.json('/runtime')).entries).toEqual({ foo: { layer_values: ['1', ''], final_value: '1' } })
    expect((await proxy.post('/runtime_modify')).status).toBe(400)
    const got = await proxy.get('/runtime_modify')
    expect([got.status, got.body]).toEqual([405, 'Method GET not allowed, POST required.'])
  })

  it('/clusters takes a filter', async () => {
    const { body } = await proxy.get('/clusters?filter=^ap')
    expect(body).toContain('app::127.0.0.1:1::rq_pending_active::0\n')
    expect(body).not.toContain('other::')
    expect((await proxy.json('/clusters?format=json&filter=^ot')).cluster_statuses.map((each: { name: string }) => each.name)).toEqual([
      'other',
    ])
    expect((await proxy.get('/clusters?filter=(')).status).toBe(400)
  })

  it('/logging changes one component, several, or none', async () => {
    expect((await proxy.post('/logging?upstream=trace')).body).toContain('  upstream: trace\n')
    expect((await proxy.post('/logging?paths=http:error,rbac:debug')).body).toContain('  rbac: debug\n')
    for (const [query, reason] of [
      ['nosuch=debug', 'unknown logger name'],
      ['upstream=nosuch', 'unknown logger level'],
      ['paths=http:debug,nosuch:debug', 'unknown logger name'],
      ['a=b&c=d', 'invalid number of parameters'],
    ]) {
      const refused = await proxy.post(`/logging?${query}`)
      expect([refused.status, refused.body.split('\n')[0]]).toEqual([400, `error: ${reason}`])
    }
    expect((await proxy.post('/logging')).body).toContain('  http: error\n')
  })

  it('writes its access log', async () => {
    await proxy.get('/clusters?filter=seen')
    await until('the line', () => readFileSync(join(dir, `${name}.access`), 'utf8').includes('GET /clusters?filter=seen 200\n'))
  })
})

describe('Outrigger alone', () => {
  let proxy: ProxyProcess
  beforeAll(async () => {
    proxy = await start(undefined, 'alone')
  })

  it('refuses what a web page could send: a foreign Origin, and a Host that is none of its names', async () => {
    const { adminPort } = proxy
    const own = `127.0.0.1:${adminPort}`
    expect((await ask(adminPort, '/runtime_modify?foo=6', { host: own, origin: 'http://attacker.example' }, 'POST')).status).toBe(403)
    expect((await ask(adminPort, '/runtime', { host: 'rebound.attacker.example' })).status).toBe(403)
    expect((await ask(adminPort, '/runtime', { host: own, origin: `http://${own}` })).status).toBe(200)
    expect((await proxy.json('/runtime')).entries.foo.final_value).toBe('1')
  })

  it('SIGUSR1 opens --log-path anew', async () => {
    const path = join(dir, 'alone.log')
    renameSync(path, `${path}.1`)
    proxy.signal('SIGUSR1')
    await until('the new file', () => existsSync(path))
    proxy.signal('SIGTERM')
    expect((await proxy.exit).code).toBe(0)
    expect(readFileSync(path, 'utf8')).toContain('shutting down')
  })
})
