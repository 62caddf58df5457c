// The demo's one table of ports: who listens where on 127.0.0.1. Used by everything else in this folder; `--port-base` moves the whole
// table. `portsInUse` looks before anything is started, so that a busy port is named instead of failing a child process.
import { createServer } from 'node:net'

export const DEMO_HOST = '127.0.0.1'

export const INSTANCE_IDS = ['web', 'api-v1', 'api-v2', 'batch'] as const
export type InstanceId = (typeof INSTANCE_IDS)[number]
export const API_INSTANCES = ['api-v1', 'api-v2'] as const satisfies readonly InstanceId[]

export interface InstancePorts {
  readonly application: number
  /** The sidecar's mTLS listener. */
  readonly public: number
  readonly admin: number
  /** The sidecar's listener towards api; only callers have one. */
  readonly upstream?: number
}

export interface PortTable {
  readonly http: number
  readonly xds: number
  readonly instances: Readonly<Record<InstanceId, InstancePorts>>
}

interface Bases {
  readonly http: number
  readonly xds: number
  readonly application: number
  readonly public: number
  readonly upstream: number
  readonly admin: number
}

const DEFAULT_BASES: Bases = { http: 8500, xds: 8502, application: 9001, public: 21_000, upstream: 9191, admin: 19_000 }
/** Ports that one table takes from its base on, when it is moved. */
export const PORT_SPAN = 50
export const MAX_PORT_BASE = 65_535 - PORT_SPAN

/** Without `base` the well-known ports; with it PORT_SPAN ports in a row from there. */
export function portTable(base?: number): PortTable {
  const bases =
    base === undefined
      ? DEFAULT_BASES
      : { http: base, xds: base + 2, application: base + 11, public: base + 21, upstream: base + 31, admin: base + 41 }
  const row = (index: number, upstream?: number): InstancePorts => ({
    application: bases.application + index,
    public: bases.public + index,
    admin: bases.admin + index,
    ...(upstream === undefined ? {} : { upstream: bases.upstream + upstream }),
  })
  return { http: bases.http, xds: bases.xds, instances: { web: row(0, 0), 'api-v1': row(1), 'api-v2': row(2), batch: row(3, 1) } }
}

export interface NamedPort {
  readonly port: number
  readonly owner: string
}

export function namedPorts(table: PortTable): NamedPort[] {
  const ports = [
    { port: table.http, owner: "the control plane's HTTP API" },
    { port: table.xds, owner: "the control plane's xDS" },
  ]
  for (const id of INSTANCE_IDS) {
    const { application, public: mtls, admin, upstream } = table.instances[id]
    ports.push({ port: application, owner: `the application ${id}` }, { port: mtls, owner: `the public listener of ${id}'s sidecar` })
    if (upstream !== undefined) ports.push({ port: upstream, owner: `the upstream listener of ${id}'s sidecar` })
    ports.push({ port: admin, owner: `the admin listener of ${id}'s sidecar` })
  }
  return ports
}

/** Those of the table that somebody else listens on, or that can't be bound for another reason. */
export async function portsInUse(table: PortTable): Promise<(NamedPort & { readonly reason: string })[]> {
  const checked = await Promise.all(namedPorts(table).map(async named => ({ ...named, reason: await bindProblem(named.port) })))
  return checked.flatMap(({ reason, ...named }) => (reason === undefined ? [] : [{ ...named, reason }]))
}

function bindProblem(port: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' ? 'is in use' : error.code === 'EACCES' ? 'may not be bound by this user' : error.message),
    )
    server.listen({ host: DEMO_HOST, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
