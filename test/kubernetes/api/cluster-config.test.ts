// How the API server is found: in a pod, and by a kubeconfig.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { stringify } from 'yaml'
import { inClusterConfig, kubeconfigOf } from '../../../src/kubernetes/api/cluster-config.js'

const folder = mkdtempSync(join(tmpdir(), 'outrigger-kubeconfig-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => void vi.useRealTimers())

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

describe('in a pod', () => {
  const env = (name: string): string | undefined => ({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' })[name]

  it('the files of the service account count, and a renewed token is found', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    file('ca.crt', 'CA')
    file('namespace', 'mesh\n')
    file('token', 'first\n')
    const config = inClusterConfig(env, folder)!
    expect([config.server, config.caPem, config.namespace, config.token()]).toEqual(['https://[fd00::1]:443', 'CA', 'mesh', 'first'])
    file('token', 'second')
    expect(config.token()).toBe('first')
    vi.setSystemTime(Date.now() + 61_000)
    expect(config.token()).toBe('second')
  })

  it('and elsewhere there is none', () => {
    expect(inClusterConfig(() => undefined, folder)).toBeUndefined()
  })
})

describe('a kubeconfig', () => {
  const config = (user: object, cluster: object = {}): string =>
    file(
      'config',
      stringify({
        'current-context': 'a',
        contexts: [
          { name: 'a', context: { cluster: 'c', user: 'u', namespace: 'shop' } },
          { name: 'b', context: { cluster: 'missing', user: 'u' } },
        ],
        clusters: [{ name: 'c', cluster: { server: 'https://k8s.example:6443/', ...cluster } }],
        users: [{ name: 'u', user }],
      }),
    )

  it('says server, CA, certificate and token, in the file or beside it', () => {
    file('key.pem', 'KEY')
    file('my-token', 'abc\n')
    const data = { 'certificate-authority-data': Buffer.from('CA').toString('base64') }
    const read = kubeconfigOf(
      config({ 'client-certificate-data': Buffer.from('CERT').toString('base64'), 'client-key': 'key.pem', tokenFile: 'my-token' }, data),
    )
    expect({ ...read, token: read.token() }).toEqual({
      server: 'https://k8s.example:6443',
      caPem: 'CA',
      certPem: 'CERT',
      keyPem: 'KEY',
      serverName: undefined,
      verify: true,
      token: 'abc',
      namespace: 'shop',
    })
  })

  it.each([
    ['a plugin', { exec: { command: 'aws' } }, undefined, 'users: exec: is not supported'],
    ['a cluster that is not there', {}, 'b', 'clusters: there is none named "missing"'],
    ['a context that is not there', {}, 'z', 'contexts: there is none named "z"'],
  ])('with %s is refused by name', (_, user, context, reason) => {
    expect(() => kubeconfigOf(config(user), context)).toThrow(reason)
  })
})
