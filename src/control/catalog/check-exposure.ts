// A check that reaches the application through its sidecar (`Expose.Checks`): which checks can, where they are sent then, and which path the
// sidecar has to open for them. Pure. Used by exposed-checks.ts, which gives out the ports, by who runs the checks, and by the catalog's index
// for the snapshot builder. Invariant: what a check asks for through the sidecar is what it asks for without it; only host and port differ.
import { isIP } from 'node:net'
import type { ExposePath } from '../config-entries/types.js'
import type { CatalogCheck, CatalogNode, CheckExposure } from './catalog-types.js'
import type { CheckDefinition } from './check-definition.js'

/** A path that the sidecar opens for a check, to those who run it alone. */
export interface ExposedCheck extends ExposePath {
  /** IP addresses beside the sidecar's own machine that may connect. */
  readonly sources: readonly string[]
}

const GRPC_HEALTH_PATH = '/grpc.health.v1.Health/Check'
const HTTP_PORT = 80
const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** A sidecar hands on requests in clear text: checks over TLS, and those that are no requests, go past it. */
export function isExposable({ Type, HTTP, GRPC, GRPCUseTLS }: CheckDefinition): boolean {
  if (Type === 'http') return new URL(HTTP).protocol === 'http:'
  return Type === 'grpc' && GRPC !== '' && !GRPCUseTLS
}

/** The same check, asked of the sidecar. */
export function throughSidecar(definition: CheckDefinition, { Address, Port }: CheckExposure): CheckDefinition {
  const authority = `${Address.includes(':') ? `[${Address}]` : Address}:${Port}`
  if (definition.Type === 'grpc') {
    const slash = definition.GRPC.indexOf('/')
    return { ...definition, GRPC: slash < 0 ? authority : authority + definition.GRPC.slice(slash) }
  }
  const url = new URL(definition.HTTP)
  url.host = authority
  return { ...definition, HTTP: url.href }
}

/** The one address that a listener is at; undefined: it is at every one of its machine. */
export function singleAddressOf(listening: string): string | undefined {
  return isIP(listening) === 0 || EVERY_ADDRESS.has(listening) ? undefined : listening
}

/** The port that the sidecar opens for the check; 0: none. */
export function exposedPort({ exposed, registered }: CatalogCheck): number {
  return exposed?.Port ?? registered?.ExposedPort ?? 0
}

/** Undefined: no sidecar opens anything for it. One of another machine says by its port that it is exposed, and by its definition what it asks for. */
export function exposedPath(check: CatalogCheck, node: CatalogNode): ExposedCheck | undefined {
  const ListenerPort = exposedPort(check)
  if (ListenerPort === 0) return undefined
  const { HTTP, GRPC } = check.definition
  const sources = isIP(node.Address) === 0 ? [] : [node.Address]
  if (HTTP !== '') {
    const { pathname, port } = new URL(HTTP)
    return { Path: pathname, LocalPathPort: port === '' ? HTTP_PORT : Number(port), ListenerPort, Protocol: 'http', sources }
  }
  if (GRPC === '') return undefined
  const LocalPathPort = Number(/:(\d+)(?:\/|$)/.exec(GRPC)?.[1] ?? 0)
  // Those of other machines are kept as they were written.
  if (LocalPathPort < 1 || LocalPathPort > 65_535) return undefined
  return { Path: GRPC_HEALTH_PATH, LocalPathPort, ListenerPort, Protocol: 'http2', sources }
}
