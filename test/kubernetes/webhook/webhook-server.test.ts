// The webhook over real TLS: what it answers, what it refuses, and a certificate renewed under it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebhookServer } from '../../../src/kubernetes/webhook/webhook-server.js'
import { deploymentPod, type Json, policyOf, reviewOf, UID } from '../../support/admission-reviews.js'
import { AnyCa } from '../../support/mesh-certificates.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-webhook-'))
const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
const ca = new AnyCa()
const logged: { message: string; fields: Readonly<Record<string, unknown>> }[] = []
let server: WebhookServer

function renew(name: string): void {
  const { cert, key } = ca.leaf({ dns: ['localhost'], commonName: name })
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key)
}

beforeAll(async () => {
  renew('first')
  server = await WebhookServer.start({
    host: '127.0.0.1',
    port: 0,
    certFile,
    keyFile,
    reloadEveryMs: 20,
    policy: policyOf(),
    log: (_, message, fields) => logged.push({ message, fields }),
  })
})

afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly text: string
  readonly certificate: string
}

function ask(body: string | Buffer, { path = '/mutate', method = 'POST', type = 'application/json' } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': type }
    const options = { host: '127.0.0.1', servername: 'localhost', port: server.port, ca: ca.pem, path, method, headers, agent: false }
    const call = request(options, response => {
      const certificate = String((response.socket as TLSSocket).getPeerCertificate().subject?.CN)
      let text = ''
      response.setEncoding('utf8').on('data', part => (text += part))
      response.on('end', () => resolve({ status: response.statusCode!, text, certificate }))
    })
    call.on('error', reject)
    call.end(body)
  })
}

const review = async (over?: Readonly<Record<string, unknown>>): Promise<Json> => {
  const pod = deploymentPod({ annotations: { 'consul.hashicorp.com/connect-inject': 'true' } })
  return JSON.parse((await ask(JSON.stringify(reviewOf(pod, over)))).text)
}

describe('a review', () => {
  it('is answered with its uid and a patch', async () => {
    const { apiVersion, kind, response } = await review()
    expect({ apiVersion, kind, ...response, patch: undefined }).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      uid: UID,
      allowed: true,
      patchType: 'JSONPatch',
    })
    const patch = JSON.parse(Buffer.from(response.patch, 'base64').toString())
    expect(patch[0]).toMatchObject({ op: 'add', path: '/spec/initContainers', value: [{ name: 'outrigger-sidecar' }] })
    expect(logged.at(-1)).toEqual({ message: 'pod injected', fields: { pod: 'shop/web-5d9c7f8c6b-' } })
  })

  it('is denied with one message', async () => {
    const pod = deploymentPod({ annotations: { 'consul.hashicorp.com/connect-inject': 'perhaps' } })
    const { response } = JSON.parse((await ask(JSON.stringify(reviewOf(pod)))).text)
    expect(response).toEqual({
      uid: UID,
      allowed: false,
      status: { code: 400, message: 'no sidecar is injected: consul.hashicorp.com/connect-inject "perhaps": must be true or false' },
    })
  })

  it.each([
    ['an update', { operation: 'UPDATE' }],
    ['what is no pod', { resource: { group: 'apps', version: 'v1', resource: 'deployments' } }],
  ])('of %s changes nothing', async (_, over) => {
    expect((await review(over)).response).toMatchObject({ uid: UID, allowed: true })
    expect((await review(over)).response.patch).toBeUndefined()
  })

  it.each([
    ['without containers', { spec: { containers: [] } }, 'object.spec.containers: is empty'],
    ['without a spec', {}, 'object.spec: is missing'],
    ['with a container that has no name', { spec: { containers: [{}] } }, 'object.spec.containers: must be a list of objects with names'],
    [
      'with an annotation that is no text',
      { metadata: { annotations: { a: 1 } }, spec: { containers: [{ name: 'a' }] } },
      'object.metadata.annotations',
    ],
  ])('of a pod %s is denied', async (_, object, reason) => {
    const { response } = await review({ object })
    expect([response.allowed, response.status.message]).toEqual([false, expect.stringContaining(reason)])
  })
})

describe('what is no review is refused in one line', () => {
  it.each([
    [
      'an older version',
      JSON.stringify({ ...reviewOf({}), apiVersion: 'admission.k8s.io/v1beta1' }),
      {},
      400,
      'apiVersion "admission.k8s.io/v1beta1"',
    ],
    ['no JSON', '{', {}, 400, 'the body is no JSON'],
    ['another kind', '{"kind":"Pod"}', {}, 400, 'kind: must be AdmissionReview'],
    ['no uid', JSON.stringify(reviewOf({}, { uid: 7 })), {}, 400, 'request.uid'],
    ['a form', 'a=b', { type: 'application/x-www-form-urlencoded' }, 415, 'must be application/json'],
    ['a GET', '', { method: 'GET' }, 405, 'must be POST'],
    ['another path', '', { path: '/' }, 404, 'POST /mutate'],
    ['what is too large', Buffer.alloc(4 * 1024 * 1024 + 1, 32), {}, 413, 'larger than'],
  ])('%s', async (_, body, options, status, reason) => {
    const { status: got, text } = await ask(body, options)
    expect([got, text]).toEqual([status, expect.stringContaining(reason)])
    expect(text.trimEnd().split('\n')).toHaveLength(1)
  })

  it('and the probe is answered', async () => {
    expect(await ask('', { path: '/health/ready', method: 'GET' })).toMatchObject({ status: 200, text: 'ok\n' })
  })
})

describe('a renewed certificate', () => {
  const until = async (good: () => Promise<boolean> | boolean): Promise<void> => {
    while (!(await good())) await new Promise(resolve => setTimeout(resolve, 10))
  }

  it('is used for the next connection, and a broken one is not', async () => {
    renew('second')
    await until(async () => (await ask('', { path: '/health/ready', method: 'GET' })).certificate === 'second')
    writeFileSync(certFile, 'half of it')
    await until(() => logged.some(({ message }) => message === 'certificate files changed and cannot be used'))
    expect((await ask('', { path: '/health/ready', method: 'GET' })).certificate).toBe('second')
  })
})

it('does not start without a certificate', async () => {
  const options = { host: '127.0.0.1', port: 0, keyFile, policy: policyOf(), log: () => {} }
  await expect(WebhookServer.start({ ...options, certFile: join(folder, 'none') })).rejects.toThrow('none: no such file')
})
