// A small real HTTP server, run by the demo as a process of its own: `node application.js NAME VERSION PORT [UPSTREAM_PORT]`.
// With an upstream port every request is passed on to the sidecar's upstream listener and the answer told as JSON with the upstream's
// status; without one it answers itself, with the caller that its sidecar vouches for. `GET /callers` says who has called so far.
// It knows nothing of the mesh: identity, encryption, splits and refusals are all the sidecars' work.
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { STEP_HEADER } from './mesh.js'
import { DEMO_HOST } from './port-table.js'

const [name = '', version = '', port = '', upstreamPort = ''] = process.argv.slice(2)
const UPSTREAM_TIMEOUT_MS = 15_000
/** Headers of the upstream's answer that are told to the caller. */
const TOLD_HEADERS = [STEP_HEADER, 'x-outrigger-denied-by', 'server']
/** Distinct callers counted; more than the demo has services. */
const MAX_CALLERS = 100

const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const callers = new Map<string, number>()

function handle(incoming: IncomingMessage, response: ServerResponse): void {
  incoming.resume()
  if (upstreamPort !== '') callUpstream(incoming, response)
  else if (incoming.url === '/callers') send(response, 200, { service: name, version, callers: [...callers] })
  else answer(incoming, response)
}

function answer(incoming: IncomingMessage, response: ServerResponse): void {
  const identity = String(incoming.headers['x-forwarded-client-cert'] ?? '')
  const caller = /URI=([^;,"]+)/.exec(identity)?.[1] ?? ''
  if (callers.has(caller) || callers.size < MAX_CALLERS) callers.set(caller, (callers.get(caller) ?? 0) + 1)
  send(response, 200, { service: name, version, path: incoming.url, caller, 'x-forwarded-client-cert': withoutCertificates(identity) })
}

/** The certificates themselves are kilobytes that nobody wants to read. */
function withoutCertificates(identity: string): string {
  return identity.replaceAll(/\b(Cert|Chain)="[^"]+"/g, '$1="..."')
}

function callUpstream(incoming: IncomingMessage, response: ServerResponse): void {
  const outgoing = httpRequest(
    {
      host: DEMO_HOST,
      port: Number(upstreamPort),
      path: incoming.url,
      method: 'GET',
      headers: { host: 'api' },
      agent,
      timeout: UPSTREAM_TIMEOUT_MS,
    },
    answer => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', error => send(response, 502, { service: name, error: error.message }))
      answer.on('end', () => {
        const headers = Object.fromEntries(TOLD_HEADERS.filter(key => key in answer.headers).map(key => [key, answer.headers[key]]))
        const status = answer.statusCode ?? 502
        send(response, status, { service: name, upstream: { status, headers, body: readBody(Buffer.concat(chunks).toString('utf8')) } })
      })
    },
  )
  outgoing.on('timeout', () => outgoing.destroy(new Error('the upstream did not answer in time')))
  outgoing.on('error', error => send(response, 502, { service: name, error: error.message }))
  outgoing.end()
}

/** A sidecar's own answers are plain text. */
function readBody(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

const server = createServer(handle)
// Idle connections belong to the sidecar: closing one just as it is used again would fail a request.
server.keepAliveTimeout = 0
server.on('error', error => {
  console.error(`application ${name}: ${error.message}`)
  process.exit(1)
})
server.listen(Number(port), DEMO_HOST)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0))
