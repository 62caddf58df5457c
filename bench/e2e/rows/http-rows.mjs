// Rows of one hop: HTTP/1.1 as most services speak it, HTTP/2 and gRPC, WebSocket, and the plain TCP proxy.
import { answers, answersHttp2 } from '../checks.mjs'
import { oneHop, tcpHop } from '../configs/envoy-config.mjs'
import { generate, generating, http1Load, http2Load } from '../load/load.mjs'
import { loadedRow } from './loaded-row.mjs'

const ROUTES = 1000
const POST_BYTES = 1024

/** 500 clients that take 10 MiB at 160 KB/s each, from their connecting on, and one in a hurry. */
async function besideSlowReaders({ port, seconds, loadCore, quick }) {
  const options = quick ? { connections: 10, bytes: 1024 * 1024, everyMs: 10 } : { connections: 500, bytes: 64 * 1024, everyMs: 400 }
  const [hurried, slow] = await Promise.all([
    generate('http1Open', { port, seconds: seconds + 1, perSecond: 50 }, loadCore),
    generating('slowReaders', { port, ...options }, loadCore),
  ])
  await slow.stop()
  return hurried
}

/** As a large service's table: one prefix a route; the load asks for all of them in turn. */
function manyRoutes() {
  return Array.from({ length: ROUTES }, (_, i) => ({ match: { prefix: `/service-${i}/` }, route: { cluster: 'origin' } }))
}
const routePaths = Array.from({ length: ROUTES }, (_, i) => `/service-${i}/items`)

export const httpRows = [
  loadedRow({
    name: 'http1',
    bootstrap: oneHop,
    check: answers(),
    load: bench => http1Load(bench),
    peers: ['nginx', 'haproxy', 'node', 'pipe', 'onread-proxy'],
  }),
  loadedRow({
    name: 'http1-post',
    bootstrap: oneHop,
    check: answers({ bodyBytes: POST_BYTES }),
    load: bench => http1Load(bench, { bodyBytes: POST_BYTES }),
    peers: ['nginx', 'haproxy', 'http-proxy', 'http-proxy-3', 'pipe'],
  }),
  loadedRow({
    name: 'http1-64k',
    bootstrap: oneHop,
    check: answers({ path: '/64k', length: 65_536 }),
    load: bench => http1Load(bench, { paths: ['/64k'] }),
    peers: ['nginx', 'haproxy', 'node', 'pipe'],
  }),
  loadedRow({
    name: 'http1-1000-routes',
    bootstrap: ports => oneHop({ ...ports, routes: manyRoutes() }),
    check: answers({ path: routePaths[ROUTES - 1] }),
    load: bench => http1Load(bench, { paths: routePaths }),
  }),
  loadedRow({
    name: 'http2',
    origin: 'http2',
    needs: 'h2load',
    bootstrap: ports => oneHop({ ...ports, http2Up: true }),
    check: answersHttp2(),
    load: bench => http2Load(bench),
  }),
  loadedRow({
    name: 'http1-to-http2',
    origin: 'http2',
    bootstrap: ports => oneHop({ ...ports, http2Up: true }),
    check: answers(),
    load: bench => http1Load(bench),
  }),
  loadedRow({
    name: 'grpc-unary',
    origin: 'http2',
    needs: 'h2load',
    bootstrap: ports => oneHop({ ...ports, http2Up: true }),
    check: answersHttp2({ grpc: true }),
    load: bench => http2Load(bench, { grpc: true }),
  }),
  loadedRow({
    name: 'grpc-stream',
    unit: 'message',
    origin: 'http2',
    bootstrap: ports => oneHop({ ...ports, http2Up: true }),
    load: ({ port, seconds, loadCore }) => generate('grpcStreams', { port, seconds, connections: 4, streams: 16 }, loadCore),
  }),
  loadedRow({
    name: 'websocket',
    unit: 'message',
    bootstrap: ports => oneHop({ ...ports, websocket: true }),
    load: ({ port, seconds, loadCore }) => generate('websocketEcho', { port, seconds, connections: 64 }, loadCore),
    peers: ['haproxy', 'pipe'],
  }),
  loadedRow({
    name: 'tcp-plain',
    tcp: true,
    bootstrap: tcpHop,
    check: answers(),
    load: bench => http1Load(bench),
    peers: ['haproxy', 'pipe'],
  }),
  loadedRow({
    name: 'latency-1000rps',
    figure: 'p99Ms',
    bootstrap: oneHop,
    check: answers(),
    load: ({ port, seconds, loadCore, quick }) => generate('http1Open', { port, seconds, perSecond: quick ? 100 : 1000 }, loadCore),
    peers: ['nginx', 'haproxy'],
  }),
  loadedRow({
    name: 'slow-readers',
    figure: 'p99Ms',
    bootstrap: oneHop,
    check: answers(),
    load: besideSlowReaders,
    peers: ['nginx', 'haproxy'],
    warmUp: false,
  }),
]
