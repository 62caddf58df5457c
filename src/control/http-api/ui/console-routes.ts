// The web console's files below `/ui/`: its page for every path that is no file, since the console finds its pages itself. Called by
// server.ts; without a folder the console is switched off, and `/` says so as Consul does.
// Nobody needs a token for them, for they hold nothing of the mesh: all that the page shows it asks the API for, with the token that was
// entered. Invariant: the page loads and runs only what this server sends (Content-Security-Policy), and no other page may frame it.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { HttpError, param } from '../respond.js'
import { type StaticFile, StaticFiles } from './static-files.js'

const PAGE = 'index.html'
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')
const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
}
/** A year: what its name tells apart never changes. */
const IMMUTABLE = 'public, max-age=31536000, immutable'

const PUBLIC_ROUTE = { config: { isPublic: true } }

/** Served to whoever asks, with a token or without. */
export function isPublic({ routeOptions }: FastifyRequest): boolean {
  return (routeOptions.config as { readonly isPublic?: boolean }).isPublic === true
}

export function consoleRoutes(app: FastifyInstance, folder: string | undefined): void {
  if (folder === undefined) {
    app.get('/', PUBLIC_ROUTE, (_request, reply) =>
      reply.type('text/plain; charset=utf-8').send('Consul Agent: UI disabled. To enable, set ui_config.enabled=true and restart.'),
    )
    return
  }
  const files = new StaticFiles(folder)
  for (const url of ['/', '/ui']) app.get(url, PUBLIC_ROUTE, (_request, reply) => reply.redirect('/ui/', 301))
  app.get('/ui/*', PUBLIC_ROUTE, (request, reply) => {
    const name = param(request, '*')
    const file = files.find(name === '' ? PAGE : name) ?? (isPage(name) ? files.find(PAGE) : undefined)
    if (file === undefined) throw new HttpError(404, 'no such file of the console')
    return send(request, reply, file)
  })
}

/**
 * An address below `/ui/` as the routes can read it: who mistypes an escape gets the page all the same, which shows the step as it stands
 * (navigation.ts).
 */
export function readablePath(url: string): string {
  if (!url.startsWith('/ui/') || !url.includes('%')) return url
  const path = url.split(/[?#;]/, 1)[0]!
  try {
    decodeURIComponent(path)
    return url
  } catch {
    return path.replaceAll('%', '%25') + url.slice(path.length)
  }
}

/** The console's own paths end in names of services and keys, which may have dots; its files are in assets/ or at the root. */
function isPage(name: string): boolean {
  return !name.startsWith('assets/') && (name.includes('/') || !name.includes('.'))
}

function send(request: FastifyRequest, reply: FastifyReply, file: StaticFile): FastifyReply {
  const gzipped = acceptsGzip(request) ? file.gzipped : undefined
  const etag = gzipped === undefined ? file.etag : `${file.etag.slice(0, -1)}-gzip"`
  reply
    .headers(HEADERS)
    .header('ETag', etag)
    .header('Vary', 'Accept-Encoding')
    .header('Cache-Control', file.immutable ? IMMUTABLE : 'no-cache')
  if (isKnown(request.headers['if-none-match'], etag)) return reply.code(304).send()
  if (gzipped !== undefined) reply.header('Content-Encoding', 'gzip')
  return reply.type(file.type).send(gzipped ?? file.bytes)
}

/** RFC 9110, 12.5.3; `q=0` refuses. */
function acceptsGzip({ headers }: FastifyRequest): boolean {
  const accepted = headers['accept-encoding']
  return typeof accepted === 'string' && accepted.split(',').some(one => /^\s*gzip\s*(;\s*q=(0\.0*[1-9]\d*|1(\.0*)?)\s*)?$/i.test(one))
}

/** The weak comparison of RFC 9110, 13.1.2. */
function isKnown(header: string | undefined, etag: string): boolean {
  return header?.split(',').some(one => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag) === true
}
