// The check that takes an instance, or the whole node, out of service: critical from the moment it is made until it is removed, with
// Consul's ids, names and notes. Made by the catalog for the maintenance endpoints; health-checks.ts never runs it.
import { type CheckDefinition, PLAIN_CHECK } from './check-definition.js'

/** The ServiceID of checks of the node itself. */
export const NODE = ''

export function maintenanceCheckId(serviceId: string): string {
  return serviceId === NODE ? '_node_maintenance' : `_service_maintenance:${serviceId}`
}

export function maintenanceCheck(serviceId: string, reason: string): CheckDefinition {
  const of = serviceId === NODE ? 'node' : 'service'
  return {
    ...PLAIN_CHECK,
    CheckID: maintenanceCheckId(serviceId),
    Name: serviceId === NODE ? 'Node Maintenance Mode' : 'Service Maintenance Mode',
    Notes: reason === '' ? `Maintenance mode is enabled for this ${of}, but no reason was provided. This is a default message.` : reason,
    ServiceID: serviceId,
    Type: 'maintenance',
  }
}
