// Where a node or an instance is: a region, and a zone of it. Read from registrations and the configuration, and compared by the snapshot builder,
// which gives each proxy the nearest instances first.
import type { FieldReader } from '../config-entries/field-reader.js'

export interface Locality {
  readonly Region: string
  /** A name within the region; '' = not known. */
  readonly Zone: string
}

/** 0 = the same zone, 1 = the same region, 2 = elsewhere, or not known. */
export type Distance = 0 | 1 | 2

const MAX_CHARS = 128

/** Undefined: nothing is said. */
export function readLocality(fields: FieldReader, readers: FieldReader[] = []): Locality | undefined {
  const reader = fields.object('Locality')
  if (reader === undefined) return undefined
  readers.push(reader)
  const locality = { Region: reader.string('Region'), Zone: reader.string('Zone') }
  for (const [name, value] of Object.entries(locality)) if (value.length > MAX_CHARS) reader.fail(name, `more than ${MAX_CHARS} characters`)
  if (locality.Region === '' && locality.Zone !== '') reader.fail('Region', 'must be set where Zone is: a zone is of a region')
  return locality.Region === '' ? undefined : locality
}

export function distance(from: Locality, to: Locality | undefined): Distance {
  if (to === undefined || to.Region === '' || to.Region !== from.Region) return 2
  return to.Zone !== '' && to.Zone === from.Zone ? 0 : 1
}
