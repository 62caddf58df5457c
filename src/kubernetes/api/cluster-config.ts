// How the API server of a cluster is reached: from inside of a pod (the service account's files), or by a kubeconfig with a server, a CA and
// a token or client certificate. Called by commands/k8s; read by kube-client.ts. Invariant: a token that stands in a file is read from it
// again and again, since the kubelet renews it; what a kubeconfig asks for and this does not do (exec, auth-provider) is refused by name.
import { dirname, resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { readText } from './read-file.js'

export interface ClusterConfig {
  /** `https://host:port`, without a slash at its end. */
  readonly server: string
  readonly caPem: string | undefined
  readonly certPem: string | undefined
  readonly keyPem: string | undefined
  readonly serverName: string | undefined
  readonly verify: boolean
  readonly token: () => string | undefined
  /** Of the pod, or of the context. */
  readonly namespace: string
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** A kubelet renews a token when a fifth of its life is left; this is far below it. */
const REREAD_TOKEN_MS = 60_000

/** Undefined outside of a pod. */
export function inClusterConfig(env: (name: string) => string | undefined, folder = ACCOUNT): ClusterConfig | undefined {
  const host = env('KUBERNETES_SERVICE_HOST')
  const port = env('KUBERNETES_SERVICE_PORT')
  if (host === undefined || port === undefined) return undefined
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    caPem: readText(`${folder}/ca.crt`),
    certPem: undefined,
    keyPem: undefined,
    serverName: undefined,
    verify: true,
    token: tokenOfFile(`${folder}/token`),
    namespace: readText(`${folder}/namespace`).trim(),
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Of the current context, or of the one named. Throws with one line. */
export function kubeconfigOf(file: string, contextName?: string): ClusterConfig {
  const config = objectOf(parseYaml(readText(file), { maxAliasCount: 10 }))
  const fail = (problem: string): never => {
    throw new Error(`${file}: ${problem}`)
  }
  const named = (list: string, name: string, part: string): Fields => {
    const items = config[list]
    const found = Array.isArray(items) ? items.map(objectOf).find(item => item['name'] === name) : undefined
    return found === undefined ? fail(`${list}: there is none named "${name}"`) : objectOf(found[part])
  }
  const wanted = contextName ?? textOf(config['current-context'])
  if (wanted === '') return fail('current-context: is not set; name one by --context')
  const context = named('contexts', wanted, 'context')
  const cluster = named('clusters', textOf(context['cluster']), 'cluster')
  const user = textOf(context['user']) === '' ? {} : named('users', textOf(context['user']), 'user')
  for (const unsupported of ['exec', 'auth-provider', 'username', 'as'])
    if (user[unsupported] !== undefined) fail(`users: ${unsupported}: is not supported; give a token, tokenFile or client certificate`)
  const server = textOf(cluster['server']).replace(/\/+$/, '')
  if (!/^https?:\/\/[^\s]+$/.test(server)) fail(`clusters: server "${server}": must be an http or https URL`)
  const pem = (fields: Fields, name: string): string | undefined => {
    const data = textOf(fields[`${name}-data`])
    if (data !== '') return Buffer.from(data, 'base64').toString('utf8')
    const path = textOf(fields[name])
    return path === '' ? undefined : readText(resolve(dirname(file), path))
  }
  const tokenFile = textOf(user['tokenFile'])
  const token = textOf(user['token'])
  return {
    server,
    caPem: pem(cluster, 'certificate-authority'),
    certPem: pem(user, 'client-certificate'),
    keyPem: pem(user, 'client-key'),
    serverName: textOf(cluster['tls-server-name']) || undefined,
    verify: cluster['insecure-skip-tls-verify'] !== true,
    token: tokenFile === '' ? () => token || undefined : tokenOfFile(resolve(dirname(file), tokenFile)),
    namespace: textOf(context['namespace']) || 'default',
  }
}

function tokenOfFile(file: string): () => string {
  let token = readText(file).trim()
  let readAtMs = Date.now()
  return () => {
    if (Date.now() - readAtMs < REREAD_TOKEN_MS) return token
    readAtMs = Date.now()
    try {
      token = readText(file).trim() || token
    } catch {
      // The old one is good for a while yet.
    }
    return token
  }
}

function objectOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
