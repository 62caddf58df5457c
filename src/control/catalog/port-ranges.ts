// The ports that are given out on one machine, as Consul's agents give them: to sidecars without one of their own, and to checks that are reached
// through a sidecar. Read by the control plane and by the agent of a machine for the services of their own node.

export interface PortRanges {
  readonly sidecarMinPort: number
  readonly sidecarMaxPort: number
  readonly exposeMinPort: number
  readonly exposeMaxPort: number
}

const CONSULS: PortRanges = { sidecarMinPort: 21_000, sidecarMaxPort: 21_255, exposeMinPort: 21_500, exposeMaxPort: 21_755 }

/** Consul's ranges where nothing else is said. */
export function portRanges(options: Partial<PortRanges>): PortRanges {
  return {
    sidecarMinPort: options.sidecarMinPort ?? CONSULS.sidecarMinPort,
    sidecarMaxPort: options.sidecarMaxPort ?? CONSULS.sidecarMaxPort,
    exposeMinPort: options.exposeMinPort ?? CONSULS.exposeMinPort,
    exposeMaxPort: options.exposeMaxPort ?? CONSULS.exposeMaxPort,
  }
}
