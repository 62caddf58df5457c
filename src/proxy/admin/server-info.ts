// /server_info: envoy.admin.v3.ServerInfo as JSON.

import { HOT_RESTART_VERSION } from '../predecessor.js'
import type { Server } from '../server.js'
import type { AdminOptions } from './admin-options.js'

/** `--hot-restart-version` says the same. */
export function hotRestartVersion({ options }: Server): string {
  return options.restartEpoch === undefined ? 'disabled' : HOT_RESTART_VERSION
}

export function serverInfo(options: AdminOptions): object {
  const { server } = options
  const secondsSince = (time: number): number => Math.floor((Date.now() - time) / 1000)
  const { drainTimeMs, drainStrategy, accessLogFlush } = server.options
  const { node } = server.options.bootstrap
  const flags = options.commandLine as Readonly<Record<string, unknown>>
  const restart = (flags['restart'] ?? {}) as Readonly<Record<string, unknown>>
  const statsTags = (flags['statsTags'] ?? []) as readonly { name: string; value: string }[]
  const [major, minor, patch] = options.version.split('/')[1]!.split('.').map(Number)
  return {
    version: options.version,
    state: server.reportedState,
    uptime_current_epoch: `${secondsSince(server.startedAt)}s`,
    uptime_all_epochs: `${secondsSince(server.predecessor?.firstStartedAt ?? server.startedAt)}s`,
    hot_restart_version: hotRestartVersion(server),
    command_line_options: {
      base_id: String(server.options.baseId ?? 0),
      concurrency: server.concurrency,
      config_path: flags['configPath'],
      config_yaml: flags['configYaml'],
      allow_unknown_static_fields: flags['allowUnknownStaticFields'],
      admin_address_path: flags['adminAddressPath'],
      local_address_ip_version: flags['localAddressIpVersion'],
      log_level: flags['logLevel'],
      component_log_level: flags['componentLogLevel'],
      log_format: flags['logFormat'],
      log_path: flags['logPath'],
      service_cluster: flags['serviceCluster'],
      service_node: flags['serviceNode'],
      service_zone: flags['serviceZone'],
      file_flush_interval: `${(accessLogFlush?.intervalMs ?? 0) / 1000}s`,
      drain_time: `${drainTimeMs / 1000}s`,
      parent_shutdown_time: `${flags['parentShutdownTimeS']}s`,
      mode: 'Serve',
      disable_hot_restart: server.options.restartEpoch === undefined,
      enable_mutex_tracing: false,
      restart_epoch: server.restartEpoch,
      cpuset_threads: false,
      reject_unknown_dynamic_fields: flags['unknownDynamicFields'] === 'refuse',
      log_format_escaped: flags['logFormatEscaped'],
      disabled_extensions: [],
      ignore_unknown_dynamic_fields: flags['unknownDynamicFields'] === 'ignore',
      use_dynamic_base_id: restart['dynamicBaseId'] === true,
      base_id_path: flags['baseIdPath'],
      drain_strategy: drainStrategy === 'immediate' ? 'Immediate' : 'Gradual',
      enable_fine_grain_logging: false,
      socket_path: restart['socketPath'] || '@envoy_domain_socket',
      socket_mode: 0,
      enable_core_dump: false,
      stats_tag: statsTags.map(({ name, value }) => `${name}:${value}`),
      skip_hot_restart_on_no_parent: restart['skipOnNoParent'] === true,
      skip_hot_restart_parent_stats: restart['skipParentStats'] === true,
      skip_deprecated_logs: true,
      file_flush_min_size: (accessLogFlush?.minBytes ?? 0) / 1024,
      log_stacktrace_single_entry: true,
    },
    node: {
      id: node.id,
      cluster: node.cluster,
      metadata: node.metadata,
      locality: { region: node.locality.region, zone: node.locality.zone, sub_zone: node.locality.subZone },
      user_agent_name: 'outrigger',
      user_agent_build_version: { version: { major_number: major, minor_number: minor, patch } },
      client_features: [],
      listening_addresses: [],
      dynamic_parameters: {},
    },
    hot_restart_initializing: server.restartEpoch > 0 && server.state !== 'LIVE' && server.state !== 'DRAINING',
  }
}
