// A Kubernetes API server of a few resources in memory, with the real protocol of lists and watches: resource versions, pages, bookmarks, streams
// of chunks, 410 once the version is older than what is remembered, conflicts on updates of what has changed. Any resource path is taken.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ClusterConfig } from '../../src/kubernetes/api/cluster-config.js'

// biome-ignore lint/suspicious/noExplicitAny: documents are looked into freely.
type Json = any

interface Stored {
  metadata: {
    name: string
    namespace?: string
    resourceVersion: string
    generation: number
    uid: string
    finalizers?: string[]
    deletionTimestamp?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
  [field: string]: Json
}

interface Event {
  readonly version: number
  readonly type: string
  readonly collection: string
  readonly object: Stored
}

interface Watcher {
  readonly collection: string
  readonly namespace: string
  readonly response: ServerResponse
}

interface Target {
  /** `/api/v1/services`, of all namespaces. */
  readonly collection: string
  readonly namespace: string
  readonly name: string
  readonly status: boolean
}

export class FakeKubeApi {
  readonly requests: string[] = []
  /** Answers of this status for the next requests whose method and path contain the text. */
  failures: { readonly match: string; readonly status: number; readonly retryAfterS?: number }[] = []
  /** Requests whose method and path contain it are never answered; '' = none. */
  silent = ''
  /** Tokens of service accounts, and whose they are: `system:serviceaccount:shop:web`. */
  readonly accounts = new Map<string, string>()
  private readonly objects = new Map<string, Stored>()
  private readonly watchers = new Set<Watcher>()
  private events: Event[] = []
  private version = 100
  private oldest = 100
  private readonly server: Server

  private constructor(private readonly pageSize: number) {
    this.server = createServer((request, response) => void this.serve(request, response))
  }

  static async start(pageSize = Number.POSITIVE_INFINITY, port = 0): Promise<FakeKubeApi> {
    const api = new FakeKubeApi(pageSize)
    await new Promise<void>(resolve => api.server.listen(port, '127.0.0.1', resolve))
    return api
  }

  get config(): ClusterConfig {
    return {
      server: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      caPem: undefined,
      certPem: undefined,
      keyPem: undefined,
      serverName: undefined,
      verify: true,
      token: () => 'secret',
      namespace: 'mesh',
    }
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise<void>(resolve => this.server.close(() => resolve()))
  }

  /** Creates, or replaces whatever is there. */
  put(collection: string, object: Json): Stored {
    const { namespace = '', name } = object.metadata
    const key = `${collection}|${namespace}/${name}`
    const before = this.objects.get(key)
    const changed = JSON.stringify(before?.['spec']) !== JSON.stringify(object.spec)
    const metadata = {
      ...object.metadata,
      uid: before?.metadata.uid ?? `uid-${this.version + 1}`,
      generation: (before?.metadata.generation ?? 0) + (changed ? 1 : 0),
      ...(before?.metadata.deletionTimestamp === undefined ? {} : { deletionTimestamp: before.metadata.deletionTimestamp }),
    }
    const stored: Stored = { ...object, metadata: { ...metadata, resourceVersion: String(++this.version) } }
    if (metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length === 0) return this.drop(key, collection, stored)
    this.objects.set(key, stored)
    this.tell(before === undefined ? 'ADDED' : 'MODIFIED', collection, stored)
    return stored
  }

  get(collection: string, name: string, namespace = ''): Json {
    return this.objects.get(`${collection}|${namespace}/${name}`)
  }

  names(collection: string): string[] {
    return [...this.objects.keys()].filter(key => key.startsWith(`${collection}|`)).map(key => key.slice(collection.length + 1))
  }

  /** What has finalizers is only marked. */
  delete(collection: string, name: string, namespace = ''): void {
    const key = `${collection}|${namespace}/${name}`
    const object = this.objects.get(key)!
    if ((object.metadata.finalizers ?? []).length === 0) {
      this.drop(key, collection, { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.version) } })
      return
    }
    const metadata = { ...object.metadata, deletionTimestamp: new Date().toISOString(), resourceVersion: String(++this.version) }
    const marked = { ...object, metadata }
    this.objects.set(key, marked)
    this.tell('MODIFIED', collection, marked)
  }

  /** Forgets what was, and ends all watches: who comes back with an older version is told 410. */
  compact(): void {
    this.oldest = ++this.version
    this.events = []
    this.endWatches()
  }

  /** Another server, of a backup: its versions begin again, and it knows nothing of those that it has not reached yet. */
  restore(): void {
    this.version = 50
    this.oldest = 50
    this.events = []
    this.endWatches()
  }

  endWatches(): void {
    for (const watcher of this.watchers) watcher.response.end()
    this.watchers.clear()
  }

  bookmark(): void {
    this.version++
    for (const { response } of this.watchers)
      write(response, { type: 'BOOKMARK', object: { kind: 'Any', metadata: { resourceVersion: String(this.version) } } })
  }

  get watching(): number {
    return this.watchers.size
  }

  private drop(key: string, collection: string, object: Stored): Stored {
    this.objects.delete(key)
    this.tell('DELETED', collection, object)
    return object
  }

  private tell(type: string, collection: string, object: Stored): void {
    const event = { version: this.version, type, collection, object }
    this.events.push(event)
    for (const watcher of this.watchers) if (concerns(event, watcher)) write(watcher.response, { type, object })
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    this.requests.push(`${method} ${url}`)
    const { pathname, searchParams: query } = new URL(url, 'http://x')
    const target = targetOf(pathname)
    let text = ''
    for await (const chunk of request) text += String(chunk)
    if (this.silent !== '' && `${method} ${url}`.includes(this.silent)) return
    const failure = this.failures.findIndex(({ match }) => `${method} ${url}`.includes(match))
    if (failure >= 0) {
      const { status, retryAfterS } = this.failures.splice(failure, 1)[0]!
      if (retryAfterS !== undefined) response.setHeader('Retry-After', String(retryAfterS))
      answer(response, failed(status, 'InternalError', 'etcdserver: leader changed'))
    } else if (request.headers.authorization !== 'Bearer secret') answer(response, failed(401, 'Unauthorized', 'Unauthorized'))
    else if (pathname.endsWith('/tokenreviews')) answer(response, this.review(JSON.parse(text)))
    else if (target.name !== '' || method !== 'GET')
      answer(response, this.single(method, target, text === '' ? undefined : JSON.parse(text)))
    else if (query.get('watch') === '1') this.watch(target, query, response)
    else answer(response, this.list(target, query))
  }

  private review({ spec: { token } }: Json): Answer {
    const username = this.accounts.get(token)
    const status =
      username === undefined ? { authenticated: false } : { authenticated: true, user: { username, uid: `uid of ${username}` } }
    return [201, { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', spec: { token }, status }]
  }

  private list({ collection, namespace }: Target, query: URLSearchParams): Answer {
    const [from = '0', at = String(this.version)] = (query.get('continue') ?? '').split('@').filter(Boolean)
    if (Number(at) < this.oldest) return failed(410, 'Expired', 'The provided continue parameter is too old')
    const all = [...this.objects].filter(([key]) => key.startsWith(`${collection}|`)).map(([, object]) => object)
    const items = all.filter(({ metadata }) => namespace === '' || metadata.namespace === namespace)
    const end = Number(from) + Math.min(this.pageSize, Number(query.get('limit') ?? Number.POSITIVE_INFINITY))
    const more = end < items.length ? { continue: `${end}@${at}` } : {}
    return [200, { kind: 'List', metadata: { resourceVersion: at, ...more }, items: items.slice(Number(from), end) }]
  }

  private watch({ collection, namespace }: Target, query: URLSearchParams, response: ServerResponse): void {
    const since = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'Content-Type': 'application/json' })
    const status = since < this.oldest ? TOO_OLD : since > this.version ? TOO_NEW : undefined
    if (status !== undefined) {
      write(response, { type: 'ERROR', object: { kind: 'Status', metadata: {}, status: 'Failure', ...status } })
      response.end()
      return
    }
    const watcher = { collection, namespace, response }
    response.flushHeaders()
    for (const event of this.events)
      if (event.version > since && concerns(event, watcher)) write(response, { type: event.type, object: event.object })
    this.watchers.add(watcher)
    response.on('close', () => this.watchers.delete(watcher))
  }

  private single(method: string, { collection, namespace, name, status }: Target, body: Json): Answer {
    const known = this.get(collection, name || body?.metadata?.name, namespace)
    if (method === 'POST') {
      if (known !== undefined) return failed(409, 'AlreadyExists', `"${known.metadata.name}" already exists`)
      const metadata = { ...body.metadata, ...(namespace === '' ? {} : { namespace }) }
      return [201, this.put(collection, { ...body, metadata })]
    }
    if (known === undefined) return failed(404, 'NotFound', `"${name}" not found`)
    if (method === 'GET') return [200, known]
    if (method === 'DELETE') {
      this.delete(collection, name, namespace)
      return [200, { kind: 'Status', status: 'Success' }]
    }
    const version = body.metadata.resourceVersion
    if (version !== undefined && version !== known.metadata.resourceVersion)
      return failed(409, 'Conflict', 'the object has been modified; please apply your changes to the latest version and try again')
    // The status is written on a path of its own, and only there.
    return [200, this.put(collection, status ? { ...known, status: body.status } : { ...body, status: known.status })]
  }
}

const TOO_OLD = { code: 410, reason: 'Expired', message: 'too old resource version' }
const TOO_NEW = { code: 504, reason: 'Timeout', message: 'Timeout: Too large resource version' }

function concerns({ collection, object }: Event, watcher: Watcher): boolean {
  return collection === watcher.collection && (watcher.namespace === '' || watcher.namespace === object.metadata.namespace)
}

function targetOf(path: string): Target {
  const match = /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(\/status)?$/.exec(path)
  if (match === null) throw new Error(`no such path: ${path}`)
  const [, group, namespace = '', resource, name = '', status] = match
  return { collection: `${group}/${resource}`, namespace, name: decodeURIComponent(name), status: status !== undefined }
}

function write(response: ServerResponse, event: object): void {
  // In two chunks, as the network may cut it.
  const line = `${JSON.stringify(event)}\n`
  response.write(line.slice(0, 10))
  response.write(line.slice(10))
}

type Answer = readonly [status: number, body: object]

function answer(response: ServerResponse, [status, body]: Answer): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}

function failed(code: number, reason: string, message: string): Answer {
  return [code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code }]
}
