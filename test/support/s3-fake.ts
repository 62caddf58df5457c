// A strict S3 of one bucket, in this process: it computes every signature again by the published description of Signature Version 4 and refuses
// what does not fit, as S3 does. An object is there once it has come whole. Faults are told beforehand, one a request.
import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export const ACCESS_KEY = 'AKIDEXAMPLE'
export const SECRET_KEY = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const MAX_SKEW_MS = 15 * 60_000

/** `reset`: the connection ends without an answer. */
export type Fault = 'reset' | { readonly status: number; readonly code: string; readonly headers?: Record<string, string> }

export interface FakeOptions {
  readonly bucket?: string
  readonly region?: string
  readonly pageSize?: number
  readonly sessionToken?: string
  readonly tls?: { readonly cert: string; readonly key: string }
}

export class S3Fake {
  readonly objects = new Map<string, Buffer>()
  readonly faults: Fault[] = []
  /** `METHOD path` of all that was asked. */
  readonly requests: string[] = []
  /** Asked for each part of a body before the next one is read. */
  onPart: (() => Promise<void>) | undefined
  readonly bucket: string
  private readonly region: string

  private constructor(
    private readonly options: FakeOptions,
    private readonly server: Server,
  ) {
    this.bucket = options.bucket ?? 'mesh'
    this.region = options.region ?? 'us-east-1'
  }

  static async start(options: FakeOptions = {}): Promise<S3Fake> {
    const listener: RequestListener = (request, response) =>
      // A client that is gone is answered no more.
      void fake.answer(request, response).catch(() => response.destroy())
    const server = options.tls === undefined ? createServer(listener) : (createTlsServer(options.tls, listener) as Server)
    const fake = new S3Fake(options, server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return fake
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get endpoint(): string {
    return `${this.options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.port}`
  }

  /** For `--backup-to`. */
  place(prefix = ''): string {
    return `s3://${this.bucket}${prefix === '' ? '' : `/${prefix}`}?endpoint=${this.endpoint}&region=${this.region}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [rawPath = '', rawQuery = ''] = request.url!.split('?', 2)
    this.requests.push(`${request.method} ${rawPath}`)
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      await this.onPart?.()
    }
    const body = Buffer.concat(chunks)
    const refuse = (status: number, code: string, message = code, headers: Record<string, string> = {}): void => {
      const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`
      response.writeHead(status, { 'content-type': 'application/xml', ...headers }).end(xml)
    }
    const fault = this.faults.shift()
    if (fault === 'reset') return void request.socket.destroy()
    if (fault !== undefined) return refuse(fault.status, fault.code, fault.code, fault.headers)
    const why = this.whyUnsigned(request, rawPath, rawQuery, body)
    if (why !== undefined) return refuse(403, 'SignatureDoesNotMatch', why)
    const virtual = request.headers.host!.startsWith(`${this.bucket}.`)
    const path = decodeURIComponent(rawPath)
    if (!virtual && path !== `/${this.bucket}` && !path.startsWith(`/${this.bucket}/`)) return refuse(404, 'NoSuchBucket')
    const key = virtual ? path.slice(1) : path.slice(this.bucket.length + 2)
    if (request.method === 'GET' && key === '') return this.list(new URLSearchParams(rawQuery), response)
    if (request.method === 'PUT') {
      if (Number(request.headers['content-length']) !== body.length) return refuse(411, 'MissingContentLength')
      this.objects.set(key, body)
      return void response.writeHead(200, { etag: '"x"' }).end()
    }
    if (request.method === 'DELETE') {
      this.objects.delete(key)
      return void response.writeHead(204).end()
    }
    const object = this.objects.get(key)
    if (object === undefined) return refuse(404, 'NoSuchKey', 'The specified key does not exist.')
    response.writeHead(200, { 'content-length': object.length }).end(object)
  }

  private list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? ''
    const delimiter = query.get('delimiter') ?? ''
    const after = query.get('continuation-token') ?? ''
    const keys = [...this.objects.keys()]
      .filter(key => key.startsWith(prefix) && key > after && (delimiter === '' || !key.slice(prefix.length).includes(delimiter)))
      .sort()
    const page = keys.slice(0, this.options.pageSize ?? 1_000)
    const isCut = page.length < keys.length
    const contents = page.map(
      key =>
        `<Contents><Key>${escapeXml(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>${this.objects.get(key)!.length}</Size></Contents>`,
    )
    const next = isCut ? `<NextContinuationToken>${escapeXml(page.at(-1)!)}</NextContinuationToken>` : ''
    const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>${isCut}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`
    response.writeHead(200, { 'content-type': 'application/xml' }).end(xml)
  }

  /** Undefined: the request is signed by our key, now, for this region, with all that it says. */
  private whyUnsigned(request: IncomingMessage, rawPath: string, rawQuery: string, body: Buffer): string | undefined {
    const { headers } = request
    const said =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/.exec(
        headers.authorization ?? '',
      )
    if (said === null) return `no signature: ${headers.authorization}`
    const [, accessKey, day, region, signedNames, signature] = said as string[]
    const time = String(headers['x-amz-date'])
    if (accessKey !== ACCESS_KEY) return `unknown access key ${accessKey}`
    if (region !== this.region) return `region ${region}, expected ${this.region}`
    const at = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    if (!(Math.abs(Date.now() - at) < MAX_SKEW_MS) || !time.startsWith(day!)) return `date ${time}`
    if (headers['x-amz-security-token'] !== this.options.sessionToken) return 'session token'
    const names = signedNames!.split(';')
    const needed = Object.keys(headers).filter(name => name === 'host' || name === 'content-md5' || name.startsWith('x-amz-'))
    if (needed.some(name => !names.includes(name)) || names.join() !== [...names].sort().join()) return `signed headers ${signedNames}`
    const hash = createHash('sha256').update(body).digest('hex')
    if (headers['x-amz-content-sha256'] !== hash) return 'hash of the body'
    // The canonical form made anew from what was decoded: a client that sends one thing and signs another is found out.
    const uri = rawPath.split('/').map(part => strictEncode(decodeURIComponent(part)))
    const query =
      rawQuery === '' ? [] : rawQuery.split('&').map(pair => pair.split('=').map(part => strictEncode(decodeURIComponent(part))))
    query.sort(([a], [b]) => (a! < b! ? -1 : 1))
    let canonical = `${request.method}\n${uri.join('/')}\n${query.map(pair => pair.join('=')).join('&')}\n`
    for (const name of names) canonical += `${name}:${String(headers[name]).trim()}\n`
    canonical += `\n${signedNames}\n${hash}`
    const scope = `${day}/${region}/s3/aws4_request`
    const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`
    let key: Buffer = Buffer.from(`AWS4${SECRET_KEY}`)
    for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest()
    return createHmac('sha256', key).update(toSign).digest('hex') === signature ? undefined : 'the signature differs'
  }
}

function strictEncode(text: string): string {
  return [...Buffer.from(text)]
    .map(byte =>
      /[A-Za-z0-9_.~-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
