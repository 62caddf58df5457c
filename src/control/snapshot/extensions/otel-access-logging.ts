// `builtin/otel-access-logging`: an access log to an OpenTelemetry collector on the listeners of one direction, beside what proxy-defaults
// asks for. The collector is one of the proxy's upstreams, or a port of this machine, which gets a cluster of its own.
import { create } from '@bufbuild/protobuf'
import { type AccessLog, AccessLogSchema } from '../../../xds/gen/envoy/config/accesslog/v3/accesslog_pb.js'
import { OpenTelemetryAccessLogConfigSchema } from '../../../xds/gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js'
import type { AnyValueSchema, KeyValueListSchema } from '../../../xds/gen/opentelemetry/proto/common/v1/common_pb.js'
import { parseDuration } from '../../config-entries/duration.js'
import { type FieldReader, isObject } from '../../config-entries/field-reader.js'
import { duration, type Init, pack } from '../protobuf.js'
import type { EnvoyExtension } from './envoy-extension.js'
import { localCluster, readMetadata, readTarget, type Target, targetCluster } from './extension-target.js'
import { eachHcm, eachTcpProxy } from './insert-filter.js'

const LOCAL_CLUSTER = 'local_access_log'
const LOG_NAME = 'envoy.access_loggers.open_telemetry'
const MAX_DEPTH = 8

interface Config {
  readonly target: Target
  log(cluster: string): AccessLog
}

export function readOtelAccessLogging(args: FieldReader): EnvoyExtension {
  const proxyType = args.string('ProxyType', 'connect-proxy')
  if (proxyType !== 'connect-proxy') args.fail('ProxyType', `must be connect-proxy, not "${proxyType}"`)
  const direction = args.string('ListenerType', 'inbound')
  if (direction !== 'inbound' && direction !== 'outbound') args.fail('ListenerType', 'must be inbound or outbound')
  const config = readConfig(args.object('Config') ?? args.absent('Config'))
  return {
    listener(listener, place, view) {
      if (direction === 'inbound' ? !place.isPublic : place.direction !== 'outbound') return
      const log = config.log(targetCluster(config.target, LOCAL_CLUSTER, view))
      eachHcm(listener, manager => void manager.accessLog.push(log))
      eachTcpProxy(listener, proxy => void proxy.accessLog.push(log))
    },
    clusters: () => (config.target.local === undefined ? [] : [localCluster(LOCAL_CLUSTER, config.target, true)]),
  }
}

function readConfig(fields: FieldReader): Config {
  const service = fields.object('GrpcService')
  if (service === undefined) fields.fail('GrpcService', 'is required')
  const grpc = service ?? fields.absent('GrpcService')
  const target = service === undefined ? { service: '', local: undefined, timeoutMs: undefined } : readTarget(grpc)
  const authority = grpc.string('Authority')
  const initialMetadata = readMetadata(grpc, 'InitialMetadata')
  const interval = fields.string('BufferFlushInterval')
  const intervalNs = interval === '' ? undefined : parseDuration(interval)
  if (interval !== '' && (intervalNs === undefined || intervalNs <= 0)) fields.fail('BufferFlushInterval', `"${interval}" is no duration`)
  const size = fields.has('BufferSizeBytes') ? fields.integer('BufferSizeBytes', 0, 2 ** 31 - 1, 0) : undefined
  const body = fields.json('Body')
  const attributes = readMap(fields, 'Attributes')
  const resourceAttributes = readMap(fields, 'ResourceAttributes')
  const shared = {
    logName: fields.string('LogName'),
    statPrefix: fields.string('StatPrefix'),
    disableBuiltinLabels: fields.boolean('DisableBuiltinLabels'),
    ...(intervalNs === undefined ? {} : { bufferFlushInterval: duration(intervalNs / 1e6) }),
    ...(size === undefined ? {} : { bufferSizeBytes: size }),
    ...(body === undefined ? {} : { body: anyValue(body, fields, 'Body', 0) }),
    ...(attributes === undefined ? {} : { attributes }),
    ...(resourceAttributes === undefined ? {} : { resourceAttributes }),
  }
  // Exports are single calls: there is no stream to open again.
  fields.ignore('RetryPolicy', 'FilterStateObjectsToLog')
  for (const reader of [fields, grpc]) reader.refuseUnknown()
  const timeout = target.timeoutMs === undefined ? {} : { timeout: duration(target.timeoutMs) }
  return {
    target,
    log: clusterName => {
      const grpcService = {
        targetSpecifier: { case: 'envoyGrpc' as const, value: { clusterName, authority } },
        ...timeout,
        initialMetadata,
      }
      const value = pack(OpenTelemetryAccessLogConfigSchema, { ...shared, grpcService })
      return create(AccessLogSchema, { name: LOG_NAME, configType: { case: 'typedConfig', value } })
    },
  }
}

function readMap(fields: FieldReader, name: string): Init<typeof KeyValueListSchema> | undefined {
  if (!fields.has(name)) return undefined
  return { values: entriesOf(fields.opaque(name), fields, name, 0) }
}

function entriesOf(map: Readonly<Record<string, unknown>>, fields: FieldReader, path: string, depth: number) {
  return Object.entries(map).map(([key, value]) => ({ key, value: anyValue(value, fields, `${path}.${key}`, depth + 1) }))
}

/** Numbers and booleans are written out: records hold texts. */
function anyValue(value: unknown, fields: FieldReader, path: string, depth: number): Init<typeof AnyValueSchema> {
  if (depth > MAX_DEPTH) fields.fail(path, `is nested more than ${MAX_DEPTH} deep`)
  else if (Array.isArray(value)) {
    const values = value.map((item, i) => anyValue(item, fields, `${path}[${i}]`, depth + 1))
    return { value: { case: 'arrayValue', value: { values } } }
  } else if (isObject(value)) return { value: { case: 'kvlistValue', value: { values: entriesOf(value, fields, path, depth) } } }
  else if (value !== null && value !== undefined) return { value: { case: 'stringValue', value: String(value) } }
  return { value: { case: 'stringValue', value: '' } }
}
