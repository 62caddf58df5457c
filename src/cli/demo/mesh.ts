// The demo's mesh as mesh.yaml has it (examples/mesh.yaml is this with the default ports), and the splitter entry of each canary step.
// Used by demo-main.ts (the file that `outrigger control -c` reads) and steps.ts (the entries that `outrigger apply -f` writes).
import { DEMO_HOST, type InstanceId, type PortTable } from './port-table.js'

/** Set by the split on every response, so that the demo sees which version of the config routed it. */
export const STEP_HEADER = 'x-canary-step'
export const FIRST_STEP = '90-10'

export interface MeshDocument {
  readonly default_intention_policy: 'deny'
  readonly services: readonly object[]
  readonly config_entries: readonly object[]
}

export function demoMesh(table: PortTable): MeshDocument {
  return {
    default_intention_policy: 'deny',
    services: [
      service(table, 'web', 'web'),
      service(table, 'api-v1', 'api', { version: 'v1' }),
      service(table, 'api-v2', 'api', { version: 'v2' }),
      service(table, 'batch', 'batch'),
    ],
    config_entries: [
      ...['web', 'api', 'batch'].map(name => ({ Kind: 'service-defaults', Name: name, Protocol: 'http' })),
      {
        Kind: 'service-resolver',
        Name: 'api',
        DefaultSubset: 'v1',
        Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
      },
      splitter(90, FIRST_STEP),
      { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] },
    ],
  }
}

/** `v1Weight` per cent to v1, the rest to v2. */
export function splitter(v1Weight: number, step: string): object {
  const split = (Weight: number, ServiceSubset: string): object => ({
    Weight,
    ServiceSubset,
    ResponseHeaders: { Set: { [STEP_HEADER]: step } },
  })
  return { Kind: 'service-splitter', Name: 'api', Splits: [split(v1Weight, 'v1'), split(100 - v1Weight, 'v2')] }
}

function service(table: PortTable, id: InstanceId, name: string, meta?: Readonly<Record<string, string>>): object {
  const { application, public: mtls, upstream } = table.instances[id]
  return {
    ...(id === name ? {} : { ID: id }),
    Name: name,
    Port: application,
    ...(meta === undefined ? {} : { Meta: meta }),
    Connect: {
      SidecarService: {
        Address: DEMO_HOST,
        Port: mtls,
        ...(upstream === undefined ? {} : { Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: upstream }] } }),
      },
    },
  }
}
