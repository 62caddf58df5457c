// Copies of requests: a `service-splitter` whose Meta says `outrigger-mirror: v2:10` has ten percent of its requests sent to the leg of subset
// v2 once more, where the answer is thrown away. Consul's entries have no field for it, and Meta is what Consul's clients keep as it is.
// Written by rollouts (and by whoever likes); checked by rules-routing.ts, compiled by discovery-chain/compile.ts.
import type { ServiceSplitter } from './types.js'

export const MIRROR_META = 'outrigger-mirror'

const MIRROR = /^(.+):(\d{1,3}(?:\.\d{1,2})?)$/

interface SplitterMirror {
  readonly subset: string
  /** 0 to 100, in steps of 0.01. */
  readonly percent: number
}

export function mirrorText({ subset, percent }: SplitterMirror): string {
  return `${subset}:${percent}`
}

const text = ({ Meta }: ServiceSplitter): string | undefined =>
  Meta !== undefined && Object.hasOwn(Meta, MIRROR_META) ? Meta[MIRROR_META] : undefined

/** Of an entry that has passed the rules. */
export function mirrorOf(entry: ServiceSplitter): SplitterMirror | undefined {
  const match = MIRROR.exec(text(entry) ?? '')
  return match === null ? undefined : { subset: match[1]!, percent: Number(match[2]) }
}

/** What is wrong with it; undefined where there is none. */
export function mirrorProblem(entry: ServiceSplitter): string | undefined {
  if (text(entry) === undefined) return undefined
  const mirror = mirrorOf(entry)
  if (mirror === undefined || mirror.percent > 100) return `must be SUBSET:PERCENT, as in v2:10, not ${JSON.stringify(text(entry))}`
  if (entry.Splits.some(split => split.ServiceSubset === mirror.subset && (split.Service ?? entry.Name) === entry.Name)) return undefined
  return `${JSON.stringify(mirror.subset)} is the subset of no leg of this splitter (one of weight 0 will do)`
}
