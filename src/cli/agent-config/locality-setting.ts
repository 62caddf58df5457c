// Where a machine is, as the flags and `locality` of a configuration file say it. Used for the control plane and for the agents of other machines.
import type { Locality } from '../../control/catalog/locality.js'
import { CliError } from '../command-line/command-io.js'

/** Undefined: nothing is said. Throws `CliError` for a zone without its region. */
export function localityOf(region: string | undefined, zone: string | undefined, where: string): Locality | undefined {
  if (!region && zone) throw new CliError(`${where}: zone ${JSON.stringify(zone)} needs the region that it is of`)
  return region ? { Region: region, Zone: zone ?? '' } : undefined
}
