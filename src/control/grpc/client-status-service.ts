// envoy.service.status.v3.ClientStatusDiscoveryService (CSDS): what each connected proxy has been told and what it made of it, for tools that
// ask management servers (istioctl's kin, grpcurl). Added to the gRPC port by grpc-port.ts; needs operator:read where there are ACLs.
// Invariant: names, versions and verdicts alone are told: the resources themselves hold keys.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { ClientResourceStatus } from '../../xds/gen/envoy/admin/v3/config_dump_shared_pb.js'
import {
  type ClientConfig_GenericXdsConfigSchema,
  type ClientStatusRequest,
  ClientStatusRequestSchema,
  type ClientStatusResponse,
  ClientStatusResponseSchema,
  ConfigStatus,
} from '../../xds/gen/envoy/service/status/v3/csds_pb.js'
import type { NodeMatcher } from '../../xds/gen/envoy/type/matcher/v3/node_pb.js'
import type { AdsClient, AdsServer } from '../../xds/server/server.js'
import { resourcesOf } from '../../xds/server/snapshot.js'
import type { CallerAccess } from './caller-access.js'
import type { GrpcCall } from './grpc-call.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'
import { decodeOrEnd, endWith, GrpcError, unary } from './unary-method.js'

const SERVICE = '/envoy.service.status.v3.ClientStatusDiscoveryService'

type GenericXdsConfig = MessageInitShape<typeof ClientConfig_GenericXdsConfigSchema>

export interface ClientStatusSources {
  readonly ads: AdsServer
  readonly access: CallerAccess
  readonly onProblem: (reason: string) => void
}

export function addClientStatus(server: GrpcServer, { ads, access, onProblem }: ClientStatusSources): void {
  const serve = (request: ClientStatusRequest, call: GrpcCall): ClientStatusResponse => {
    access.known(call)?.needSingle('operator', 'read')
    return answerOf(ads, request)
  }
  server.add(`${SERVICE}/FetchClientStatus`, unary(ClientStatusRequestSchema, ClientStatusResponseSchema, onProblem, serve))
  server.add(`${SERVICE}/StreamClientStatus`, call => {
    call.events = {
      onMessage(message) {
        const request = decodeOrEnd(call, ClientStatusRequestSchema, message)
        if (request === undefined) return
        try {
          call.send(toBinary(ClientStatusResponseSchema, serve(request, call)))
        } catch (error) {
          endWith(call, error, onProblem)
        }
      },
      onHalfClose: () => call.end(GrpcStatus.OK),
      onClosed() {},
    }
  })
}

function answerOf(ads: AdsServer, { nodeMatchers }: ClientStatusRequest): ClientStatusResponse {
  const tests = nodeMatchers.map(compileMatcher)
  const config = [...ads.clients()]
    .filter(({ node }) => tests.length === 0 || tests.some(test => test(node.id)))
    .map(client => ({ node: client.node, genericXdsConfigs: configsOf(client) }))
  return create(ClientStatusResponseSchema, { config })
}

function compileMatcher({ nodeId, nodeMetadatas }: NodeMatcher): (id: string) => boolean {
  if (nodeMetadatas.length > 0)
    throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, 'node_matchers: node_metadatas are not supported; use node_id')
  const fold = nodeId?.ignoreCase === true ? (text: string) => text.toLowerCase() : (text: string) => text
  const pattern = nodeId?.matchPattern
  switch (pattern?.case) {
    case undefined:
      return () => true
    case 'exact':
      return id => fold(id) === fold(pattern.value)
    case 'prefix':
      return id => fold(id).startsWith(fold(pattern.value))
    case 'suffix':
      return id => fold(id).endsWith(fold(pattern.value))
    case 'contains':
      return id => fold(id).includes(fold(pattern.value))
    default:
      throw new GrpcError(GrpcStatus.INVALID_ARGUMENT, `node_matchers: ${pattern?.case} is not supported in node_id`)
  }
}

function configsOf({ snapshot, types }: AdsClient): GenericXdsConfig[] {
  return types.flatMap(({ typeUrl, wildcard, acked, lastNack }) => {
    const current = resourcesOf(snapshot, typeUrl)
    const names = new Set([...acked.keys(), ...(lastNack?.names ?? []), ...(wildcard ? current.keys() : [])])
    return [...names].sort().map(name => {
      const has = acked.get(name)
      const due = current.get(name)?.version
      const one: GenericXdsConfig = { typeUrl, name, versionInfo: due ?? has ?? '' }
      if (lastNack?.names.includes(name)) {
        const errorState = { details: lastNack.message, versionInfo: due ?? '', lastUpdateAttempt: timestampFromMs(lastNack.at) }
        return { ...one, configStatus: ConfigStatus.ERROR, clientStatus: ClientResourceStatus.NACKED, errorState }
      }
      if (has === undefined) return { ...one, configStatus: ConfigStatus.NOT_SENT, clientStatus: ClientResourceStatus.REQUESTED }
      return { ...one, configStatus: has === due ? ConfigStatus.SYNCED : ConfigStatus.STALE, clientStatus: ClientResourceStatus.ACKED }
    })
  })
}
