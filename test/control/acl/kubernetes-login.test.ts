// The auth method `kubernetes` against a TokenReview endpoint as a cluster serves it (HTTPS, with a CA of its own): whom it lets in, and each way
// in which it does not. And many logins at once, which must not keep others from being served.
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Login, type LoginOptions } from '../../../src/control/acl/login.js'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { AnyCa } from '../../support/mesh-certificates.js'

const MANAGEMENT = 'a9c1d2e3-3333-4444-8555-0c0c0c0c0c0c'
const REVIEWER = 'reviewer-jwt'

interface Review {
  readonly path: string
  readonly bearer: string
  readonly token: string
}

const ca = new AnyCa('cluster')
const leaf = ca.leaf({ ips: [[127, 0, 0, 1]], usages: ['serverAuth'] })
let cluster: Server
let plane: ControlPlane
let reviews: Review[]
/** What the cluster says to a token. */
let verdict: (token: string) => { readonly status: number; readonly body: string }

const authenticated = (username: string): string =>
  JSON.stringify({
    kind: 'TokenReview',
    status: { authenticated: true, user: { username, uid: 'u-1', groups: ['system:serviceaccounts'] } },
  })

beforeAll(async () => {
  cluster = createServer({ cert: leaf.cert, key: leaf.key }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const { spec } = JSON.parse(Buffer.concat(chunks).toString()) as { spec: { token: string } }
      reviews.push({ path: request.url!, bearer: request.headers.authorization ?? '', token: spec.token })
      const answer = (): void => {
        const { status, body } = verdict(spec.token)
        response.writeHead(status, { 'content-type': 'application/json' }).end(body)
      }
      answer()
    })
  })
  await new Promise<void>(resolve => cluster.listen(0, '127.0.0.1', resolve))
  plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    nodeName: 'n1',
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
  })
  await plane.start()
  const host = `https://127.0.0.1:${(cluster.address() as AddressInfo).port}`
  await call('PUT', '/v1/acl/auth-method', {
    Name: 'k8s',
    Type: 'kubernetes',
    Config: { Host: host, CACert: ca.pem, ServiceAccountJWT: REVIEWER },
  })
  await call('PUT', '/v1/acl/auth-method', {
    Name: 'other-ca',
    Type: 'kubernetes',
    Config: { Host: host, CACert: new AnyCa('other').pem, ServiceAccountJWT: REVIEWER },
  })
  for (const AuthMethod of ['k8s', 'other-ca'])
    await call('PUT', '/v1/acl/binding-rule', {
      AuthMethod,
      Selector: 'serviceaccount.namespace==apps and serviceaccount.name!=default',
      BindType: 'service',
      BindName: ['$', '{serviceaccount.name}'].join(''),
    })
})
afterAll(async () => {
  await plane.stop()
  cluster.closeAllConnections()
  await new Promise<void>(resolve => cluster.close(() => resolve()))
})
beforeEach(() => {
  reviews = []
  verdict = () => ({ status: 201, body: authenticated('system:serviceaccount:apps:web') })
})

interface Answer {
  readonly status: number
  readonly body: unknown
}

async function call(method: string, path: string, body?: unknown, token = MANAGEMENT): Promise<Answer> {
  const response = await fetch(`http://${plane.httpAddress}${path}`, {
    method,
    headers: token === '' ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : text }
}

const login = (token: string, method = 'k8s'): Promise<Answer> =>
  call('POST', '/v1/acl/login', { AuthMethod: method, BearerToken: token }, '')

describe('a login by a service account', () => {
  it('is what the cluster says it is, for as long as nobody logs out', async () => {
    const { status, body } = await login('account-jwt')
    expect(status).toBe(200)
    expect(reviews).toEqual([{ path: '/apis/authentication.k8s.io/v1/tokenreviews', bearer: `Bearer ${REVIEWER}`, token: 'account-jwt' }])
    const { SecretID } = body as { SecretID: string }
    expect(body).toMatchObject({ AuthMethod: 'k8s', Local: true, ServiceIdentities: [{ ServiceName: 'web' }] })
    expect((await call('PUT', '/v1/agent/service/register', { Name: 'web', Port: 80 }, SecretID)).status).toBe(200)
    expect((await call('PUT', '/v1/agent/service/register', { Name: 'api', Port: 80 }, SecretID)).status).toBe(403)
    expect((await call('POST', '/v1/acl/logout', undefined, SecretID)).status).toBe(200)
    expect((await call('GET', '/v1/agent/services', undefined, SecretID)).body).toBe('ACL not found')
  })

  it.each([
    ['one that the cluster does not know', 201, JSON.stringify({ status: { authenticated: false } }), 'service account jwt not valid'],
    ['one that it can’t judge', 201, JSON.stringify({ status: { error: 'token has expired' } }), 'lookup failed: token has expired'],
    ['a person', 201, authenticated('jane'), 'unexpected username format'],
    ['another namespace', 201, authenticated('system:serviceaccount:kube-system:web'), 'Permission denied'],
    ['the default account', 201, authenticated('system:serviceaccount:apps:default'), 'Permission denied'],
    ['a name that is none of a service', 201, authenticated('system:serviceaccount:apps:a" {}'), 'has an invalid name'],
    ['a reviewer that may not review', 403, '{}', 'answered 403'],
    ['an answer that is no JSON', 201, '<html>', 'no JSON'],
    ['an answer without end', 201, `"${'x'.repeat(2 * 1024 * 1024)}"`, 'more than 1048576 bytes'],
  ])('is refused: %s', async (_what, status, body, reason) => {
    verdict = () => ({ status, body })
    const answer = await login('account-jwt')
    expect(answer).toEqual({ status: 403, body: expect.stringContaining(reason) })
    const tokens = (await call('GET', '/v1/acl/tokens?authmethod=k8s')).body
    expect(tokens).toEqual([])
  })

  it('is refused where the cluster’s certificate is of another CA, and by a method that is not there', async () => {
    expect(await login('account-jwt', 'other-ca')).toEqual({ status: 403, body: expect.stringMatching(/certificate|signature/) })
    expect(reviews).toEqual([])
    expect(await login('account-jwt', 'nosuch')).toEqual({ status: 403, body: 'auth method "nosuch" not found: ACL not found' })
  })
})

describe('many logins at once', () => {
  it('wait for the cluster up to a number, the rest are told to come again', async () => {
    // Without sockets: a busy machine would let the cluster's answers expire before the last has asked.
    const answers: ((error: Error) => void)[] = []
    const verifier = { verify: () => new Promise((_resolve, reject) => answers.push(reject)) }
    const own = new Login({ table: { get: () => ({}) }, verifier, datacenter: 'dc1' } as unknown as LoginOptions)
    const ask = (i: number): Promise<unknown> => own.login({ AuthMethod: 'k8s', BearerToken: `jwt-${i}` })
    const waiting = Array.from({ length: 128 }, (_, i) => ask(i))
    expect(answers).toHaveLength(128)
    await expect(ask(128)).rejects.toThrow('too many logins under way (limit 128)')
    answers.pop()!(new Error('denied'))
    await expect(waiting.pop()).rejects.toThrow('denied')
    waiting.push(ask(129))
    expect(answers).toHaveLength(128)
    for (const answer of answers) answer(new Error('denied'))
    expect((await Promise.allSettled(waiting)).every(({ status }) => status === 'rejected')).toBe(true)
  })
})
