// A Vault for tests: the parts of its HTTP API that our client uses, each request held against the published schemas (vault-schemas.ts), with real
// certificates (fake-pki.ts), leases by a clock set by hand, and faults on demand. Invariant: what the documentation does not allow is in
// `violations`, which every test expects to be empty; it shows what our client sends, not that a real Vault is content with it.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { ZodError } from 'zod'
import type { WallClock } from '../../../src/io/clock.js'
import { FakePki, Refusal } from './fake-pki.js'
import { SCHEMAS, seconds } from './vault-schemas.js'

interface Token {
  readonly renewable: boolean
  readonly leaseS: number
  /** Epoch ms; undefined: it lives on. */
  endsAtMs: number | undefined
  /** Renewals reach no further. */
  readonly lastMs: number
}

interface Answer {
  readonly data?: object
  readonly auth?: object
  readonly warnings?: readonly string[]
}

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly namespace: string
  readonly token: string
}

interface KvSecret {
  readonly versions: { readonly data: Record<string, unknown>; readonly created_time: string }[]
}

export interface FakeVaultOptions {
  readonly clock: WallClock
  readonly tls?: ServerOptions
  /** Login by AppRole, Kubernetes and JWT grants tokens of this kind. */
  readonly leaseS?: number
  readonly maxLifeS?: number
  readonly renewable?: boolean
}

export class FakeVault {
  readonly seen: SeenRequest[] = []
  readonly violations: string[] = []
  readonly tokens = new Map<string, Token>()
  /** By `namespace/path`. */
  readonly pki = new Map<string, FakePki>()
  private readonly otherMounts = new Map<string, string>()
  private readonly kv = new Map<string, KvSecret>()
  /** What logins must say, by auth mount. */
  readonly logins = new Map<string, Readonly<Record<string, string>>>()
  sealed = false
  /** Paths (without `/v1/`) whose requests are denied. */
  denied: RegExp | undefined
  /** Requests answered so, first come first served, before anything else. */
  readonly faults: { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }[] = []
  /** Requests are taken and never answered. */
  silent = false
  /** A standby sends its clients there. */
  activeNode: string | undefined
  private granted = 0
  private written = 0
  private server: Server | undefined
  private scheme = 'http'

  constructor(private readonly options: FakeVaultOptions) {
    this.tokens.set('root', { renewable: false, leaseS: 0, endsAtMs: undefined, lastMs: Number.POSITIVE_INFINITY })
  }

  async start(): Promise<void> {
    const handler: RequestListener = (request, response) => void this.handle(request, response)
    const { tls } = this.options
    this.scheme = tls === undefined ? 'http' : 'https'
    this.server = tls === undefined ? createServer(handler) : createTlsServer(tls, handler)
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
  }

  get address(): string {
    return `${this.scheme}://127.0.0.1:${(this.server!.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections()
    this.server?.close()
    await (this.server === undefined ? undefined : once(this.server, 'close'))
  }

  /** Paths of the requests so far, with their methods. */
  get paths(): string[] {
    return this.seen.map(({ method, path }) => `${method} ${path}`)
  }

  addToken(token: string, leaseS: number, options: { renewable: boolean; maxLifeS?: number }): void {
    const now = this.options.clock.wallNow()
    const lastMs = options.maxLifeS === undefined ? Number.POSITIVE_INFINITY : now + options.maxLifeS * 1000
    this.tokens.set(token, { renewable: options.renewable, leaseS, endsAtMs: leaseS === 0 ? undefined : now + leaseS * 1000, lastMs })
  }

  mountKv(path: string): void {
    this.otherMounts.set(`/${path}`, 'kv')
  }

  /** A new version of a secret in a KV v2 engine. */
  putSecret(mount: string, path: string, data: Record<string, unknown>): void {
    const key = `${mount}/${path}`
    const secret = this.kv.get(key) ?? { versions: [] }
    secret.versions.push({ data, created_time: `2026-01-01T00:00:00.${String(++this.written).padStart(9, '0')}Z` })
    this.kv.set(key, secret)
  }

  /** With all its versions and its metadata: the next version is the first again. */
  deleteSecret(mount: string, path: string): void {
    this.kv.delete(`${mount}/${path}`)
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const path = (request.url ?? '').replace(/^\/v1\//, '')
    const header = (name: string) => String(request.headers[name] ?? '')
    const seen = { method: request.method!, path, namespace: header('x-vault-namespace'), token: header('x-vault-token') }
    this.seen.push(seen)
    if (this.silent) return
    const answer = (status: number, body: object | string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    }
    const fault = this.faults.shift()
    if (fault !== undefined) return answer(fault.status, fault.body ?? { errors: [] }, fault.headers)
    if (this.activeNode !== undefined) return answer(307, '', { location: `${this.activeNode}${request.url}` })
    if (this.sealed) return answer(503, { errors: ['Vault is sealed'] })
    try {
      if (!request.url?.startsWith('/v1/')) this.violation(`${request.url} is not below /v1/`)
      if (header('x-vault-request') !== 'true') this.violation('no header X-Vault-Request')
      const text = Buffer.concat(chunks).toString('utf8')
      if (request.method === 'POST' && header('content-type') !== 'application/json') this.violation(`${path}: a body that is not JSON`)
      if (request.method === 'GET' && text !== '') this.violation(`${path}: a GET with a body`)
      const result = await this.route(seen, text === '' ? undefined : JSON.parse(text))
      answer(200, {
        request_id: 'fake',
        lease_id: '',
        renewable: false,
        lease_duration: 0,
        data: null,
        auth: null,
        warnings: null,
        ...result,
      })
    } catch (error) {
      if (error instanceof Refusal) return answer(error.status, { errors: error.errors })
      if (error instanceof ZodError)
        this.violation(`${path}: ${error.issues.map(issue => `${issue.path.join('.')} ${issue.message}`).join(', ')}`)
      else this.violation(`${path}: ${(error as Error).message}`)
      answer(400, { errors: [(error as Error).message] })
    }
  }

  private violation(reason: string): void {
    this.violations.push(reason)
  }

  private async route(seen: SeenRequest, body: unknown): Promise<Answer> {
    const { method, path, namespace } = seen
    const login = /^auth\/(.+)\/login$/.exec(path)
    if (login !== null && method === 'POST') return this.logIn(login[1]!, body)
    this.authorise(seen)
    if (path === 'auth/token/lookup-self' && method === 'GET') return this.lookUpSelf(seen.token)
    if (path === 'auth/token/renew-self' && method === 'POST') return this.renewSelf(seen.token, body)
    const mount = /^sys\/mounts\/(.+?)(\/tune)?$/.exec(path)
    if (mount !== null) return this.mounts(`${namespace}/${mount[1]}`, method, mount[2] !== undefined, body)
    const kv = /^([^/]+)\/(data|metadata)\/(.+)$/.exec(path)
    if (kv !== null && this.otherMounts.get(`${namespace}/${kv[1]}`) === 'kv' && method === 'GET')
      return this.readSecret(kv[1]!, kv[2]!, kv[3]!)
    for (const [name, pki] of this.pki) {
      const prefix = `${name.slice(namespace.length + 1)}/`
      if (name.startsWith(`${namespace}/`) && path.startsWith(prefix)) return this.pkiRoute(pki, method, path.slice(prefix.length), body)
    }
    throw new Refusal(404, [`no handler for route "${path}". route entry not found.`])
  }

  private pkiRoute(pki: FakePki, method: string, path: string, body: unknown): Promise<Answer> | Answer {
    if (method === 'GET') {
      if (path === 'issuers?list=true') return pki.list()
      if (path === 'cert/ca_chain') return pki.caChain()
      const issuer = /^issuer\/([0-9a-f-]+)\/json$/.exec(path)
      if (issuer !== null) return pki.readIssuer(issuer[1]!)
    }
    if (method === 'POST') {
      const sign = /^issuer\/([0-9a-f-]+)\/sign\/leaf-cert$/.exec(path)
      if (sign !== null) return pki.sign(sign[1]!, body)
      const crossSign = /^issuer\/([0-9a-f-]+)\/sign-self-issued$/.exec(path)
      if (crossSign !== null) return pki.signSelfIssued(crossSign[1]!, body)
      switch (path) {
        case 'root/generate/internal':
          return pki.generateRoot(body)
        case 'intermediate/generate/internal':
          return pki.generateCsr(body)
        case 'root/sign-intermediate':
          return pki.signIntermediate(body)
        case 'intermediate/set-signed':
          return pki.setSigned(body)
        case 'config/issuers':
          return pki.configureIssuers(body)
        case 'roles/leaf-cert':
          return pki.writeRole(body)
      }
    }
    this.violation(`${method} ${path} is not in the published API`)
    throw new Refusal(405, ['unsupported operation'])
  }

  private authorise({ token, path }: SeenRequest): void {
    const known = this.tokens.get(token)
    if (known === undefined || (known.endsAtMs !== undefined && this.options.clock.wallNow() >= known.endsAtMs))
      throw new Refusal(403, ['2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'])
    if (this.denied?.test(path) === true) throw new Refusal(403, ['1 error occurred:\n\t* permission denied\n\n'])
  }

  private logIn(mount: string, body: unknown): Answer {
    const wanted = this.logins.get(mount)
    if (wanted === undefined) throw new Refusal(403, ['permission denied'])
    const fields: Record<string, string | undefined> = 'role_id' in wanted ? SCHEMAS.appRoleLogin.parse(body) : SCHEMAS.jwtLogin.parse(body)
    // As Vault does, the refusal says what was wrong, and repeats what was sent.
    for (const [name, value] of Object.entries(wanted))
      if (fields[name] !== value) throw new Refusal(400, [`invalid ${name}: ${fields[name]}`])
    const token = `hvs.granted-${++this.granted}`
    const { leaseS = 3600, maxLifeS, renewable = true } = this.options
    this.addToken(token, leaseS, { renewable, ...(maxLifeS === undefined ? {} : { maxLifeS }) })
    return { auth: { client_token: token, accessor: 'fake', policies: ['mesh'], lease_duration: leaseS, renewable } }
  }

  private lookUpSelf(token: string): Answer {
    const { endsAtMs, renewable } = this.tokens.get(token)!
    const ttl = endsAtMs === undefined ? 0 : Math.round((endsAtMs - this.options.clock.wallNow()) / 1000)
    return { data: { id: token, ttl, renewable, policies: ['mesh'] } }
  }

  private renewSelf(token: string, body: unknown): Answer {
    SCHEMAS.renewSelf.parse(body)
    const known = this.tokens.get(token)!
    if (!known.renewable) throw new Refusal(400, ['lease is not renewable'])
    const now = this.options.clock.wallNow()
    known.endsAtMs = Math.min(now + known.leaseS * 1000, known.lastMs)
    return { auth: { client_token: token, lease_duration: Math.round((known.endsAtMs - now) / 1000), renewable: true } }
  }

  private mounts(name: string, method: string, tune: boolean, body: unknown): Answer {
    const pki = this.pki.get(name)
    if (method === 'GET' && !tune) {
      const type = pki === undefined ? this.otherMounts.get(name) : 'pki'
      if (type === undefined) throw new Refusal(400, [`No secret engine mount at ${name.slice(name.indexOf('/') + 1)}/`])
      return { data: { type, config: { max_lease_ttl: pki?.maxLeaseS ?? 0, default_lease_ttl: 0 } } }
    }
    if (method === 'POST' && tune) {
      const fields = SCHEMAS.tune.parse(body)
      if (pki === undefined) throw new Refusal(400, ['tune of mount point failed: no mount entry found'])
      if (fields.max_lease_ttl !== undefined) pki.maxLeaseS = seconds(fields.max_lease_ttl)
      return {}
    }
    if (method !== 'POST') throw new Refusal(405, ['unsupported operation'])
    const fields = SCHEMAS.mount.parse(body)
    if (pki !== undefined || this.otherMounts.has(name)) throw new Refusal(400, [`path is already in use at ${name}/`])
    if (fields.type !== 'pki') throw new Refusal(400, ['the fake mounts pki only'])
    this.pki.set(name, new FakePki(seconds(fields.config?.max_lease_ttl), () => this.options.clock.wallNow()))
    return {}
  }

  private readSecret(mount: string, kind: string, path: string): Answer {
    const secret = this.kv.get(`${mount}/${path}`)
    if (secret === undefined) throw new Refusal(404, [])
    const version = secret.versions.length
    const about = ({ created_time }: (typeof secret.versions)[number]) => ({ created_time, destroyed: false, deletion_time: '' })
    const versions = Object.fromEntries(secret.versions.map((each, i) => [i + 1, about(each)]))
    if (kind === 'metadata') return { data: { current_version: version, oldest_version: 0, versions } }
    const newest = secret.versions.at(-1)!
    return { data: { data: newest.data, metadata: { version, ...about(newest) } } }
  }
}
