// The ranges of Consul's agent configuration from which ports are given out on a machine (`ports.sidecar_min_port` … `expose_max_port`), checked.
// Read for the control plane and for the agent of another machine.
import type { PortRanges } from '../../control/catalog/port-ranges.js'
import { CliError } from '../command-line/command-io.js'
import type { AgentConfig } from './agent-config.js'

/** What is said of them alone. */
export function portRangesOf({ ports = {} }: AgentConfig): Partial<PortRanges> {
  const { sidecar_min_port, sidecar_max_port, expose_min_port, expose_max_port } = ports
  for (const [name, value] of Object.entries({ sidecar_min_port, sidecar_max_port, expose_min_port, expose_max_port }))
    if (value !== undefined && !(value >= 1 && value <= 65_535)) throw new CliError(`ports.${name} ${value}: must be a port, 1 to 65535`)
  for (const [use, min, max] of [
    ['sidecar', sidecar_min_port, sidecar_max_port],
    ['expose', expose_min_port, expose_max_port],
  ] as const)
    if (min !== undefined && max !== undefined && min > max)
      throw new CliError(`ports.${use}_min_port ${min}: must not be greater than ${use}_max_port ${max}`)
  return {
    ...(sidecar_min_port !== undefined && { sidecarMinPort: sidecar_min_port }),
    ...(sidecar_max_port !== undefined && { sidecarMaxPort: sidecar_max_port }),
    ...(expose_min_port !== undefined && { exposeMinPort: expose_min_port }),
    ...(expose_max_port !== undefined && { exposeMaxPort: expose_max_port }),
  }
}
