// What the flags of outrigger-proxy make of a bootstrap and of the sidecar's options, the same in the primary and in its workers. Used by
// run-proxy.ts and run-worker.ts.

import { readFileSync } from 'node:fs'
import { type Checked, readBootstrap, type SidecarBootstrap, type SidecarOptions } from '../sidecar/sidecar.js'
import { ENVOY_VERSION, USER_AGENT_NAME } from '../sidecar/version.js'
import type { ProxyLogger } from './logger.js'
import type { ProxyFlags } from './proxy-flags.js'

/** The file, then --config-yaml. */
export function bootstrapTexts({ configPath, configYaml }: ProxyFlags): Checked<readonly string[]> {
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
  return { ok: true, value: texts, warnings: [] }
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
