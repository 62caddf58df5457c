// The service that an extension calls, as Consul's extensions name one: an upstream of the proxy, or a port of this machine, which gets a
// cluster of its own. Used by ext-authz.ts and otel-access-logging.ts.
import { create } from '@bufbuild/protobuf'
import { type Cluster, Cluster_DiscoveryType, ClusterSchema } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { HttpProtocolOptionsSchema } from '../../../xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { parseDuration } from '../../config-entries/duration.js'
import type { FieldReader } from '../../config-entries/field-reader.js'
import { duration, pack, socketAddress } from '../protobuf.js'
import { ExtensionError, type ExtensionView } from './envoy-extension.js'

const HTTP_OPTIONS_KEY = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
export const MAX_ITEMS = 100
const LOCAL_HOSTS: Readonly<Record<string, string>> = { localhost: '127.0.0.1', '127.0.0.1': '127.0.0.1', '::1': '::1' }

export interface Target {
  readonly service: string
  readonly local: { readonly address: string; readonly port: number } | undefined
  readonly timeoutMs: number | undefined
}

export function targetCluster({ service, local }: Target, localName: string, view: ExtensionView): string {
  if (local !== undefined) return localName
  const cluster = view.clusterOf(service)
  if (cluster === undefined) throw new ExtensionError(`Target.Service: ${service} is no upstream of this proxy`)
  return cluster
}

/** Only where the target is of this machine. */
export function localCluster(name: string, target: Target, isGrpc: boolean): Cluster {
  const { address, port } = target.local!
  return create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    ...(target.timeoutMs === undefined ? {} : { connectTimeout: duration(target.timeoutMs) }),
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: socketAddress(address, port) } } }] }],
    },
    ...(isGrpc
      ? {
          typedExtensionProtocolOptions: {
            [HTTP_OPTIONS_KEY]: pack(HttpProtocolOptionsSchema, {
              upstreamProtocolOptions: {
                case: 'explicitHttpConfig',
                value: { protocolConfig: { case: 'http2ProtocolOptions', value: {} } },
              },
            }),
          },
        }
      : {}),
  })
}

export function readTarget(service: FieldReader): Target {
  const fields = service.object('Target')
  if (fields === undefined) {
    service.fail('Target', 'is required')
    return { service: '', local: undefined, timeoutMs: undefined }
  }
  const named = fields.object('Service')
  named?.ignore('Namespace', 'Partition')
  const name = named?.string('Name') ?? ''
  const uri = fields.string('URI')
  if ((name === '') === (uri === '')) fields.fail('', 'exactly one of Service.Name and URI must be set')
  const match = /^(?:[a-z]+:\/\/)?(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(uri)
  const host = LOCAL_HOSTS[match?.[1] ?? match?.[2] ?? ''] ?? (match !== null && match[2] === '' ? '127.0.0.1' : undefined)
  if (uri !== '' && (host === undefined || Number(match![3]) > 65_535))
    fields.fail('URI', 'must be a port of localhost, 127.0.0.1 or [::1]')
  const timeout = fields.string('Timeout')
  const timeoutNs = timeout === '' ? undefined : parseDuration(timeout)
  if (timeout !== '' && (timeoutNs === undefined || timeoutNs <= 0)) fields.fail('Timeout', `"${timeout}" is no duration`)
  fields.refuseUnknown()
  return {
    service: name,
    local: host === undefined ? undefined : { address: host, port: Number(match![3]) },
    timeoutMs: timeoutNs === undefined ? undefined : timeoutNs / 1e6,
  }
}

export function readMetadata(fields: FieldReader | undefined, name: string): { readonly key: string; readonly value: string }[] {
  return (fields?.objects(name, MAX_ITEMS) ?? []).map(header => ({ key: header.string('Key'), value: header.string('Value') }))
}
