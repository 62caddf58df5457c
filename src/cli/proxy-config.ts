// What the flags of outrigger-proxy make of a bootstrap and of the sidecar's options, the same in the primary and in its workers. Used by
// run-proxy.ts and run-worker.ts.

import { readFileSync } from 'node:fs'
import { type Checked, readBootstrap, type SidecarBootstrap, type SidecarOptions } from '../sidecar/sidecar.js'
import { ENVOY_VERSION, USER_AGENT_NAME } from '../sidecar/version.js'
import { definesWorkloadApi, parseEndpointSocket, workloadApiBootstrap } from '../sidecar/workload-api/endpoint-socket.js'
import type { ProxyLogger } from './logger.js'
import type { ProxyFlags } from './proxy-flags.js'

/** Of the SPIFFE Workload Endpoint specification. */
const ENDPOINT_SOCKET_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET'

/** The file, then --config-yaml, then what the place of the Workload API adds. `environment`: SPIFFE_ENDPOINT_SOCKET, or ''. */
export function bootstrapTexts(
  { configPath, configYaml, spiffeEndpointSocket }: ProxyFlags,
  environment = process.env[ENDPOINT_SOCKET_VARIABLE] ?? '',
): Checked<readonly string[]> {
  if (configPath === '' && configYaml === '')
    return { ok: false, errors: [{ path: '', reason: 'at least one of --config-path and --config-yaml is needed' }] }
  const texts = configYaml === '' ? [] : [configYaml]
  if (configPath !== '') {
    try {
      texts.unshift(readFileSync(configPath, 'utf8'))
    } catch (error) {
      return { ok: false, errors: [{ path: configPath, reason: `cannot be read: ${(error as Error).message}` }] }
    }
  }
  const flag = spiffeEndpointSocket !== ''
  const given = flag ? spiffeEndpointSocket : environment
  // A bootstrap that says itself where the Workload API is knows better than the environment.
  if (given === '' || (!flag && texts.some(definesWorkloadApi))) return { ok: true, value: texts, warnings: [] }
  const address = parseEndpointSocket(given)
  if (address.ok) return { ok: true, value: [...texts, workloadApiBootstrap(address.value)], warnings: [] }
  const problems = address.errors.map(({ reason }) => ({
    path: flag ? '--spiffe-endpoint-socket' : `$${ENDPOINT_SOCKET_VARIABLE}`,
    reason,
  }))
  // The variable may be there for other programs, in a form of theirs.
  return flag ? { ok: false, errors: problems } : { ok: true, value: texts, warnings: problems }
}

export function readTexts(flags: ProxyFlags, texts: readonly string[]): Checked<SidecarBootstrap> {
  const { serviceNode, serviceCluster, serviceZone, allowUnknownStaticFields, statsTags } = flags
  return readBootstrap(texts, { serviceNode, serviceCluster, serviceZone, allowUnknownFields: allowUnknownStaticFields, statsTags })
}

type Common = Omit<SidecarOptions, 'workers' | 'commandLine' | 'version' | 'onQuit' | 'onFailure'>

export function sidecarOptions(flags: ProxyFlags, logger: ProxyLogger): Common {
  return {
    log: logger.log,
    drainTimeMs: flags.drainTimeS * 1000,
    drainStrategy: flags.drainStrategy,
    random: Math.random,
    env: name => process.env[name],
    accessLogFlush: flags.accessLogFlush,
    userAgent: { name: USER_AGENT_NAME, version: ENVOY_VERSION },
    logging: logger,
    unknownDynamicFields: flags.unknownDynamicFields,
  }
}
