// Rows of two sidecars: both hops in one process, as in one container: client -> outbound -> mTLS -> inbound with RBAC -> application.
import { answers, answersHttp2 } from '../checks.mjs'
import { mtlsPair, tcpPair } from '../configs/envoy-config.mjs'
import { generate, http1Load, http2Load } from '../load/load.mjs'
import { loadedRow } from './loaded-row.mjs'

const CONNECT_LANES = 32
const STREAM_MEGABYTES = 100
/** Times as long a sample, for a row in which somebody answers seldom. */
const SLOW_ROW_LONGER = 3

const pairRow = row => loadedRow({ pair: true, ...row })

const connectRow = (name, options, peers = []) =>
  pairRow({
    name,
    unit: 'connection',
    tcp: true,
    bootstrap: ports => tcpPair({ ...ports, ...options }),
    check: answers(),
    load: ({ port, seconds, loadCore }) => generate('newConnections', { port, seconds, parallel: CONNECT_LANES }, loadCore),
    peers,
  })

const bulkRow = (name, options, peers = []) =>
  pairRow({
    name,
    unit: 'MB',
    tcp: true,
    origin: 'tcp-source',
    bootstrap: ports => tcpPair({ ...ports, ...options }),
    load: ({ port, seconds, loadCore }) => generate('bulk', { port, seconds, megabytes: STREAM_MEGABYTES }, loadCore),
    peers,
  })

export const meshRows = [
  pairRow({
    name: 'http1-mtls-pair',
    bootstrap: ports => mtlsPair({ ...ports, mesh: 'h1' }),
    check: answers(),
    load: bench => http1Load(bench),
    peers: ['nginx', 'haproxy'],
  }),
  pairRow({
    name: 'http1-mesh',
    bootstrap: ports => mtlsPair({ ...ports, mesh: 'auto' }),
    check: answers(),
    load: bench => http1Load(bench),
    peers: ['haproxy'],
  }),
  pairRow({
    name: 'http2-mtls-pair',
    origin: 'http2',
    needs: 'h2load',
    bootstrap: ports => mtlsPair({ ...ports, mesh: 'h2', http2Up: true }),
    check: answersHttp2(),
    load: bench => http2Load(bench),
  }),
  pairRow({
    name: 'grpc-mtls-pair',
    origin: 'http2',
    needs: 'h2load',
    bootstrap: ports => mtlsPair({ ...ports, mesh: 'h2', http2Up: true }),
    check: answersHttp2({ grpc: true }),
    load: bench => http2Load(bench, { grpc: true }),
  }),
  pairRow({
    name: 'rbac-10000',
    bootstrap: made => mtlsPair({ ...made, mesh: 'h1', sources: made.quick ? 100 : 10_000 }),
    check: answers(),
    // Envoy looks at each source in turn, and reads the certificate anew for each: it answers few requests a second.
    load: bench => http1Load({ ...bench, seconds: bench.seconds * SLOW_ROW_LONGER }, { connections: 4 }),
  }),
  connectRow('mtls-connect', {}, ['haproxy', 'tls-pipe']),
  connectRow('mtls-connect-full', { resume: false }),
  connectRow('mtls-connect-tunnel', { tunnel: true }),
  bulkRow('tcp-mtls-bulk', {}, ['haproxy']),
  bulkRow('tcp-mtls-bulk-tunnel', { tunnel: true }),
]
