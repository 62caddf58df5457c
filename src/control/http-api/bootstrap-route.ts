// `GET /v1/outrigger/bootstrap/:proxyId`: the bootstrap of a sidecar of this machine, for our proxy and for Envoy. Served by the control plane and
// by the agents of other machines, each with the gRPC port that its sidecars are to use.
import type { FastifyInstance } from 'fastify'
import { meshServiceOf } from '../catalog/catalog-types.js'
import { localityOf } from '../catalog/instance-locality.js'
import { DEFAULT_ADMIN } from '../default-admin.js'
import { envoyBootstrap } from './bootstrap.js'
import type { GrpcReach, LocalContext } from './context.js'
import { HttpError, param, query } from './respond.js'
import { presentedToken } from './token.js'

type Config = Readonly<Record<string, unknown>>

/** `defaults`: what proxy-defaults says, under the registration's own. */
export function bootstrapRoute(
  app: FastifyInstance,
  context: LocalContext,
  reach: () => Pick<GrpcReach, 'host' | 'port' | 'others' | 'caPem' | 'sidecarToken'>,
  defaults: () => Config | Promise<Config>,
): void {
  app.get('/v1/outrigger/bootstrap/:proxyId', async request => {
    const proxyId = param(request, 'proxyId')
    const proxy = context.catalog.instance(proxyId)
    if (proxy?.Proxy === undefined) throw new HttpError(404, `unknown proxy ID: ${proxyId}`)
    const grpc = reach()
    const grpcAddr = query(request, 'grpc_addr')
    const path = socketPath(grpcAddr)
    const named = path === undefined ? hostPort(grpcAddr, 'grpc_addr') : undefined
    const ads = named ?? { host: grpc.host, port: grpc.port }
    const ready = hostPort(query(request, 'ready_bind'), 'ready_bind')
    const admin = hostPort(query(request, 'admin_bind') || DEFAULT_ADMIN, 'admin_bind')!
    // The caller's own token goes into the file, but where the gRPC port has one of its own.
    const token = grpc.sidecarToken ?? presentedToken(request)
    return envoyBootstrap({
      proxyId,
      service: meshServiceOf(proxy),
      nodeName: context.node.name,
      datacenter: context.node.datacenter,
      locality: localityOf(context.catalog, proxy),
      grpcHost: ads.host,
      grpcPort: ads.port,
      // Whoever names one means that one.
      ...(named === undefined && path === undefined ? { grpcOthers: grpc.others ?? [] } : {}),
      ...(path === undefined ? {} : { grpcPath: path }),
      adminHost: admin.host,
      adminPort: admin.port,
      ...(token === undefined ? {} : { token }),
      ...(grpc.caPem === undefined ? {} : { grpcCaPem: grpc.caPem }),
      configs: [
        await defaults(),
        proxy.Proxy.Config,
        ...(ready === undefined
          ? []
          : [{ envoy_ready_bind_addr: `${ready.host.includes(':') ? `[${ready.host}]` : ready.host}:${ready.port}` }]),
      ],
    })
  })
}

/** Linux takes no longer ones. */
const MAX_SOCKET_PATH = 107

function socketPath(text: string | undefined): string | undefined {
  if (text === undefined || !text.startsWith('unix:')) return undefined
  const path = text.replace(/^unix:(\/\/)?/, '')
  if (!path.startsWith('/') || path.length > MAX_SOCKET_PATH)
    throw new HttpError(400, `grpc_addr: the path of a unix socket must be absolute, of at most ${MAX_SOCKET_PATH} bytes`)
  return path
}

function hostPort(text: string | undefined, name: string): { readonly host: string; readonly port: number } | undefined {
  if (text === undefined || text === '') return undefined
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new HttpError(400, `${name} must be host:port${name === 'grpc_addr' ? ' or unix:///path' : ''}`)
  return { host: match[1] ?? match[2]!, port }
}
