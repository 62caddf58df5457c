// The proxy's bootstrap from what a Consul server answers to GetEnvoyBootstrapParams: the same that consul-dataplane writes, but for the stream of
// configuration, which goes to the server itself. Called by dataplane.ts; the form is control/http-api/bootstrap.ts's.
import { create } from '@bufbuild/protobuf'
import { envoyBootstrap } from '../../control/http-api/bootstrap.js'
import { METRICS_BACKEND } from '../../control/http-api/bootstrap-config.js'
import {
  type GetEnvoyBootstrapParamsRequest,
  GetEnvoyBootstrapParamsRequestSchema,
  type GetEnvoyBootstrapParamsResponse,
  GetEnvoyBootstrapParamsResponseSchema,
} from '../../xds/gen/hashicorp/dataplane_pb.js'
import type { Method } from '../servers/server-channel.js'
import { readRoots } from '../servers/server-credentials.js'
import type { DataplaneSettings, ProxySettings } from '../settings/settings.js'

/** Where the bootstrap says that its stream goes: a name for the servers, which change (run-sidecar.ts has them). */
export const CONSUL_TARGET = 'consul-servers'

export const BOOTSTRAP_PARAMS: Method<typeof GetEnvoyBootstrapParamsRequestSchema, typeof GetEnvoyBootstrapParamsResponseSchema> = {
  path: '/hashicorp.consul.dataplane.DataplaneService/GetEnvoyBootstrapParams',
  request: GetEnvoyBootstrapParamsRequestSchema,
  answer: GetEnvoyBootstrapParamsResponseSchema,
}

/** Older servers know the proxy by `service_id`. */
export function bootstrapRequest({ id, nodeId, nodeName, namespace, partition }: ProxySettings): GetEnvoyBootstrapParamsRequest {
  return create(GetEnvoyBootstrapParamsRequestSchema, {
    serviceId: id,
    proxyId: id,
    namespace,
    partition,
    nodeSpec: nodeId === '' ? { case: 'nodeName', value: nodeName } : { case: 'nodeId', value: nodeId },
  })
}

/** Whether the proxy serves Prometheus, by the merged page. */
export function servesMetrics(bootstrap: Record<string, unknown>): boolean {
  const { clusters } = bootstrap['static_resources'] as { readonly clusters: readonly { readonly name?: string }[] }
  return clusters.some(({ name }) => name === METRICS_BACKEND)
}

/** Throws where what the server says cannot be joined. */
export function dataplaneBootstrap(
  params: GetEnvoyBootstrapParamsResponse,
  { proxy, envoy, telemetry }: Pick<DataplaneSettings, 'proxy' | 'envoy' | 'telemetry'>,
): Record<string, unknown> {
  const ready = envoy.readyBind === '' ? {} : { envoy_ready_bind_addr: envoy.readyBind }
  return envoyBootstrap({
    proxyId: proxy.id,
    service: params.identity || params.service,
    nodeName: params.nodeName,
    namespace: params.namespace,
    partition: params.partition,
    datacenter: params.datacenter,
    adsTarget: CONSUL_TARGET,
    adminHost: envoy.adminHost,
    adminPort: envoy.adminPort,
    adminAccessLogs: params.accessLogs.map(text => JSON.parse(text) as object),
    // Where /ready answers is the command line's alone to say.
    configs: telemetry.useCentralConfig ? [params.config ?? {}, { envoy_ready_bind_addr: '', ...ready }] : [ready],
    metricsPage: {
      path: telemetry.scrapePath.replace(/\?.*$/s, ''),
      backend: { host: envoy.adminHost, port: telemetry.mergePort },
      ...(telemetry.tls === null ? {} : { tls: { ...telemetry.tls, caPem: readRoots(telemetry.tls.caCertsPath) } }),
    },
  })
}
