// Webhooks, JSON documents and AS3 declarations against strict fakes, which refuse what the real ones refuse.
import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { As3Target, JsonEndpoint, TemplateText, Webhook } from '../../../../src/automation/config/sync-config.js'
import type { Applied, Driver, DriverError } from '../../../../src/automation/drivers/driver.js'
import { As3Driver } from '../../../../src/automation/drivers/http/as3-driver.js'
import { JsonDriver } from '../../../../src/automation/drivers/http/json-driver.js'
import { WebhookDriver } from '../../../../src/automation/drivers/http/webhook-driver.js'
import { heldClock } from '../../../../src/io/clock.js'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}
interface Reply {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function fake(answer: (seen: Seen, count: number) => Reply): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const one = { method: request.method!, url: request.url!, headers: request.headers, body }
    seen.push(one)
    const { status, headers = {}, body: text } = answer(one, seen.length)
    response.writeHead(status, headers).end(text === undefined ? '' : JSON.stringify(text))
  })
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

const NOW = 1_700_000_000_000
const TIMEOUT_MS = 5_003
// Pauses are over at once: what is tested is what is asked again.
const world = {
  clock: { ...heldClock, after: (ms: number, fn: () => void) => heldClock.after(ms === TIMEOUT_MS ? 200 : 0, fn) },
  random: () => 0,
  env: (name: string) => ({ SECRET: 'from the environment' })[name],
  readFile: () => 'of a file\n',
  wallNow: () => NOW,
}
const text = (body: string): TemplateText => ({ text: body, name: 'body', left: '{{', right: '}}', missingKeyFails: false })
const target = (url: string) => ({ url, headers: { 'X-Own': '1' }, attempts: 3, timeoutMs: TIMEOUT_MS, verify: true })
const answers = { answer: () => [], wants() {} }
const inputs = { consul_kv: { a: '1' } }

const apply = (driver: Driver): Promise<Applied> =>
  driver.prepare(answers, inputs).apply({ signal: new AbortController().signal, idempotencyKey: 'key-1', trigger: 'services' })
const failure = (driver: Driver): Promise<DriverError> =>
  apply(driver).then(
    () => expect.fail('it went well'),
    (error: DriverError) => error,
  )

describe('webhooks', () => {
  const hook = (url: string, more: Partial<Webhook> = {}): Webhook => ({ kind: 'webhook', ...target(url), ...more })

  it('are signed as Standard Webhooks says, with the inputs as they are', async () => {
    const { url, seen } = await fake(() => ({ status: 204 }))
    const secret = `whsec_${Buffer.from('key').toString('base64')}`
    expect(await apply(new WebhookDriver('t', hook(`${url}/x`, { secret: { text: secret } }), world))).toMatchObject({ changed: true })
    const [{ headers, body, method }] = seen as [Seen]
    expect([method, headers['webhook-id'], headers['idempotency-key'], headers['x-own']]).toEqual(['POST', 'key-1', 'key-1', '1'])
    const wanted = createHmac('sha256', 'key').update(`key-1.1700000000.${body}`).digest('base64')
    expect([headers['webhook-timestamp'], headers['webhook-signature']]).toEqual(['1700000000', `v1,${wanted}`])
    expect(JSON.parse(body)).toEqual({ type: 'sync.task', task: 't', trigger: 'services', data: inputs })
  })

  it('are tried again where that can help, under the same id', async () => {
    const { url, seen } = await fake((_, count) => ({ status: count < 3 ? 503 : 200 }))
    await apply(new WebhookDriver('t', hook(url, { body: text('{"x": {{ 1 }}}'), secret: { env: 'SECRET' } }), world))
    expect(seen.map(({ headers }) => headers['webhook-id'])).toEqual(['key-1', 'key-1', 'key-1'])
    expect(seen[0]!.body).toBe('{"x": 1}')
  })

  it('and not where it cannot', async () => {
    const { url, seen } = await fake(() => ({ status: 400, body: { why: 'no' } }))
    const error = await failure(new WebhookDriver('t', hook(url), world))
    expect([error.message, error.isFinal, seen.length]).toEqual([`POST ${url}: the answer is 400: {"why":"no"}`, true, 1])
  })

  it('wait for a whole answer no longer than the timeout, however it drips', async () => {
    const server = createServer((_, response) => {
      const drip = setInterval(() => response.write('x'), 10)
      response.on('close', () => clearInterval(drip))
    })
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect((await failure(new WebhookDriver('t', { ...hook(url), attempts: 1 }, world))).message).toBe(
      `POST ${url}: no whole answer within ${TIMEOUT_MS / 1000} s (1 attempts)`,
    )
  })

  it('end after so many attempts', async () => {
    const { url, seen } = await fake(() => ({ status: 500 }))
    expect((await failure(new WebhookDriver('t', hook(url), world))).message).toContain('the answer is 500')
    expect(seen).toHaveLength(3)
    expect((await failure(new WebhookDriver('t', hook('http://127.0.0.1:1'), world))).message).toMatch(/ECONNREFUSED.*\(3 attempts\)/)
  })
})

describe('JSON documents', () => {
  const endpoint = (url: string, more: Partial<JsonEndpoint> = {}): JsonEndpoint => ({
    kind: 'http',
    ...target(url),
    method: 'PUT',
    body: text('{"b": 2, "a": [1]}'),
    etag: true,
    contentType: 'application/json',
    ...more,
  })

  /** Keeps one document under an ETag, and takes a write with the right precondition alone. */
  async function store(document: unknown, conflicts = 0): Promise<{ url: string; seen: Seen[]; stored: () => unknown }> {
    let [stored, version] = [document, 1]
    const server = await fake(({ method, headers, body }) => {
      if (method === 'GET') return stored === undefined ? { status: 404 } : { status: 200, headers: { ETag: `"${version}"` }, body: stored }
      if (conflicts-- > 0) version++
      const good = stored === undefined ? headers['if-none-match'] === '*' : headers['if-match'] === `"${version}"`
      if (!good) return { status: 412 }
      stored = JSON.parse(body)
      version++
      return { status: 200 }
    })
    return { ...server, stored: () => stored }
  }

  it('are made where nothing is, and written under the tag that was read', async () => {
    const none = await store(undefined)
    expect(await apply(new JsonDriver(endpoint(none.url), world))).toMatchObject({ changed: true })
    expect(none.stored()).toEqual({ a: [1], b: 2 })
    const other = await store({ a: 0 })
    await apply(new JsonDriver(endpoint(other.url, { bearerToken: { file: '/t' } }), world))
    expect([other.stored(), other.seen[0]!.headers.authorization]).toEqual([{ a: [1], b: 2 }, 'Bearer of a file'])
  })

  it('are left alone where they are as wanted', async () => {
    const { url, seen } = await store({ a: [1], b: 2 })
    expect(await apply(new JsonDriver(endpoint(url), world))).toMatchObject({ changed: false })
    expect(seen.map(({ method }) => method)).toEqual(['GET'])
  })

  it('are read again when another has changed them meanwhile, a few times', async () => {
    const some = await store({ a: 0 }, 2)
    await apply(new JsonDriver(endpoint(some.url), world))
    expect(some.stored()).toEqual({ a: [1], b: 2 })
    const many = await store({ a: 0 }, 100)
    expect((await failure(new JsonDriver(endpoint(many.url), world))).message).toContain('others change it as often as it is written')
  })

  it('a preview writes nothing, and what is no JSON is not sent', async () => {
    const { url, seen } = await store({ a: [1], b: 1 })
    const { changes, plan } = await new JsonDriver(endpoint(url), world).prepare(answers).preview(new AbortController().signal)
    expect([changes, plan.includes('-  "b": 1\n+  "b": 2'), seen.length]).toEqual([true, true, 1])
    expect((await failure(new JsonDriver(endpoint(url, { body: text('{') }), world))).isFinal).toBe(true)
  })
})

describe('AS3', () => {
  const declaration = {
    class: 'AS3',
    action: 'deploy',
    persist: true,
    declaration: { class: 'ADC', schemaVersion: '3.0.0', T: { class: 'Tenant' } },
  }
  const as3 = (url: string, more: Partial<As3Target> = {}): As3Target => ({
    kind: 'as3',
    ...target(url),
    declaration: text(JSON.stringify(declaration)),
    login: { username: 'admin', password: { text: 'secret' }, provider: 'tmos' },
    taskTimeoutMs: 5_000,
    ...more,
  })

  /** A BIG-IP that works by itself for two polls; every call wants the token of the login. */
  async function device(result: object): Promise<{ url: string; seen: Seen[]; tokens: Set<string> }> {
    const tokens = new Set<string>()
    let polls = 0
    const server = await fake(({ method, url, headers, body }) => {
      if (url === '/mgmt/shared/authn/login') {
        const { username, password, loginProviderName } = JSON.parse(body)
        if (method !== 'POST' || username !== 'admin' || password !== 'secret' || loginProviderName !== 'tmos') return { status: 401 }
        tokens.add('TOKEN')
        return { status: 200, body: { token: { token: 'TOKEN' } } }
      }
      if (!tokens.has(String(headers['x-f5-auth-token']))) return { status: 401, body: { message: 'X-F5-Auth-Token does not exist.' } }
      if (method === 'DELETE' && url === '/mgmt/shared/authz/tokens/TOKEN') {
        tokens.delete('TOKEN')
        return { status: 200, body: {} }
      }
      if (method === 'POST' && url === '/mgmt/shared/appsvcs/declare?async=true') {
        if (JSON.parse(body).class !== 'AS3') return { status: 422, body: { code: 422, message: 'declaration is invalid' } }
        return { status: 202, body: { id: 'task-1', results: [{ code: 0, message: 'Declaration successfully submitted' }] } }
      }
      if (method === 'GET' && url === '/mgmt/shared/appsvcs/task/task-1')
        return { status: 200, body: { id: 'task-1', results: [++polls < 3 ? { code: 0, message: 'in progress' } : result] } }
      if (method === 'GET' && url === '/mgmt/shared/appsvcs/declare') return { status: 204 }
      return { status: 404 }
    })
    return { ...server, tokens }
  }

  it('logs in, declares, waits for the device’s own task, and gives the token back', async () => {
    const { url, seen, tokens } = await device({ code: 200, message: 'success', tenant: 'T' })
    expect(await apply(new As3Driver(as3(url), world))).toMatchObject({ changed: true, summary: 'T: success' })
    expect(seen.map(({ method, url: path }) => `${method} ${path.replace('/mgmt/shared/', '')}`)).toEqual([
      'POST authn/login',
      'POST appsvcs/declare?async=true',
      ...Array.from({ length: 3 }, () => 'GET appsvcs/task/task-1'),
      'DELETE authz/tokens/TOKEN',
    ])
    expect(tokens.size).toBe(0)
  })

  it('knows that nothing has changed', async () => {
    const { url } = await device({ code: 200, message: 'no change', tenant: 'T' })
    expect(await apply(new As3Driver(as3(url), world))).toMatchObject({ changed: false, summary: 'T: no change' })
  })

  it('fails as the device says, and gives the token back', async () => {
    const { url, tokens } = await device({ code: 422, message: 'declaration failed', response: '01070734: bad', tenant: 'T' })
    const error = await failure(new As3Driver(as3(url), world))
    expect([error.message, error.isFinal, tokens.size]).toEqual(['T 422 declaration failed 01070734: bad', true, 0])
    const refused = await failure(new As3Driver(as3(url, { declaration: text('{"class":"X"}') }), world))
    expect(refused.message).toContain('the answer is 422')
    const login = { username: 'admin', password: { text: 'wrong' }, provider: 'tmos' }
    expect((await failure(new As3Driver(as3(url, { login }), world))).message).toContain('authn/login: the answer is 401')
  })

  it('shows what it would declare', async () => {
    const { url } = await device({ code: 200, message: 'success' })
    const { changes, plan } = await new As3Driver(as3(url), world).prepare(answers).preview(new AbortController().signal)
    expect([changes, plan.includes('+  "class": "ADC"')]).toEqual([true, true])
  })
})
