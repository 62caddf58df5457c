// /server_info: envoy.admin.v3.ServerInfo as JSON.

import type { AdminOptions } from './admin-options.js'

export function serverInfo(options: AdminOptions): object {
  const { server } = options
  const seconds = Math.floor((Date.now() - server.startedAt) / 1000)
  const { node } = server.options.bootstrap
  const flags = options.commandLine as Readonly<Record<string, unknown>>
  return {
    version: options.version,
    state: server.reportedState,
    uptime_current_epoch: `${seconds}s`,
    uptime_all_epochs: `${seconds}s`,
    hot_restart_version: 'disabled',
    command_line_options: {
      base_id: '0',
      concurrency: 1,
      config_path: flags['configPath'],
      config_yaml: flags['configYaml'],
      allow_unknown_static_fields: false,
      reject_unknown_dynamic_fields: false,
      ignore_unknown_dynamic_fields: false,
      admin_address_path: flags['adminAddressPath'],
      local_address_ip_version: 'v4',
      log_level: flags['logLevel'],
      component_log_level: flags['componentLogLevel'],
      log_format: flags['logFormat'],
      log_path: flags['logPath'],
      service_cluster: flags['serviceCluster'],
      service_node: flags['serviceNode'],
      service_zone: flags['serviceZone'],
      drain_strategy: server.options.drainStrategy === 'immediate' ? 'Immediate' : 'Gradual',
      mode: 'Serve',
      disable_hot_restart: true,
      restart_epoch: 0,
      drain_time: `${server.options.drainTimeMs / 1000}s`,
      parent_shutdown_time: `${flags['parentShutdownTimeS']}s`,
      cpuset_threads: false,
    },
    node: {
      id: node.id,
      cluster: node.cluster,
      metadata: node.metadata,
      locality: { region: node.locality.region, zone: node.locality.zone, sub_zone: node.locality.subZone },
      user_agent_name: 'outrigger',
    },
  }
}
