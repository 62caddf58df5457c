// The config entries that a rollout moves: the `service-splitter` of its service, whose Meta says whose it is, and while there are cohorts a
// `service-router`. Says what they are at each position, whether a rollout may take them, and whether somebody else has written them since.
// Called by rollout-engine.ts. Invariant: nothing of an entry changes but the weights of the two legs and the marks in Meta.
import type { EntryChange } from '../config-entries/entry-index.js'
import { MIRROR_META, mirrorText } from '../config-entries/splitter-mirror.js'
import type { ConfigEntryIndex, HeaderMatch, ServiceRouter, ServiceSplit, ServiceSplitter } from '../config-entries/types.js'
import { quoteMeta } from '../intentions/spiffe-pattern.js'
import type { Position } from './rollout-plan.js'
import { type Cohort, NOT_OWNED, type Rollout, type RolloutStatus } from './rollout-types.js'

export const OWNER_META = 'outrigger-rollout'
const WEIGHT_SCALE = 100

/** What brings the entries to `position`. Of the router only what is the rollout's own (`ownsRouter`) is taken away. */
export function entriesAt(rollout: Rollout, position: Position, entries: ConfigEntryIndex, ownsRouter: boolean): EntryChange[] {
  const splitter = splitterAt(rollout, position, entries.get('service-splitter', rollout.Service))
  const changes: EntryChange[] = [{ op: 'put', entry: splitter }]
  if (position.cohorts) changes.push({ op: 'put', entry: cohortRouter(rollout) })
  else if (ownsRouter) changes.push({ op: 'delete', kind: 'service-router', name: rollout.Service })
  return changes
}

function splitterAt({ Name, Service, From, To }: Rollout, position: Position, before: ServiceSplitter | undefined): ServiceSplitter {
  const weights = new Map([
    [From, Math.round((100 - position.weight) * WEIGHT_SCALE) / WEIGHT_SCALE],
    [To, position.weight],
  ])
  const legs: ServiceSplit[] = [...(before?.Splits ?? [])]
  for (const subset of weights.keys()) if (!legs.some(leg => isLegOf(leg, Service, subset))) legs.push({ Weight: 0, ServiceSubset: subset })
  const { [MIRROR_META]: _mirror, ...meta } = before?.Meta ?? {}
  const mirror: Record<string, string> =
    position.mirrorPercent > 0 ? { [MIRROR_META]: mirrorText({ subset: To, percent: position.mirrorPercent }) } : {}
  return {
    ...before,
    Kind: 'service-splitter',
    Name: Service,
    Meta: { ...meta, [OWNER_META]: Name, ...mirror },
    Splits: legs.map(leg => ({ ...leg, Weight: isOwnLeg(leg, Service) ? (weights.get(leg.ServiceSubset ?? '') ?? 0) : 0 })),
  }
}

const isOwnLeg = ({ Service }: ServiceSplit, service: string): boolean => (Service ?? service) === service
const isLegOf = (leg: ServiceSplit, service: string, subset: string): boolean => isOwnLeg(leg, service) && leg.ServiceSubset === subset

function cohortRouter({ Name, Service, To, Cohorts }: Rollout): ServiceRouter {
  return {
    Kind: 'service-router',
    Name: Service,
    Meta: { [OWNER_META]: Name },
    Routes: Cohorts.map(cohort => ({
      Match: { HTTP: { PathPrefix: '/', Header: [headerOf(cohort)] } },
      Destination: { Service, ServiceSubset: To },
    })),
  }
}

function headerOf({ Header, Cookie, ...match }: Cohort): HeaderMatch {
  if (Cookie === undefined) return { Name: Header!, ...match }
  return { Name: 'cookie', Regex: `(.*;\\s*)?${quoteMeta(Cookie)}=${quoteMeta(match.Exact!)}(\\s*;.*)?` }
}

/** Why the rollout may not begin with the entries as they are; undefined where it may. */
export function takeOverProblem(rollout: Rollout, entries: ConfigEntryIndex): string | undefined {
  const { Service, From, Cohorts } = rollout
  const splitter = entries.get('service-splitter', Service)
  const elsewhere = splitter?.Splits.find(leg => leg.Weight > 0 && !isFrom(leg, rollout, entries))
  if (elsewhere !== undefined)
    return `service-splitter ${Service} sends ${elsewhere.Weight} % to ${legName(elsewhere, Service)}: a rollout begins where all requests go to ${From}`
  if (Cohorts.length > 0 && entries.get('service-router', Service) !== undefined)
    return `service-router ${Service} is there already, and cohorts need one of the rollout's own`
  return undefined
}

function isFrom(leg: ServiceSplit, { Service, From }: Rollout, entries: ConfigEntryIndex): boolean {
  return isOwnLeg(leg, Service) && (leg.ServiceSubset ?? entries.get('service-resolver', Service)?.DefaultSubset) === From
}

/** What somebody else has done to the entries since the rollout wrote them; undefined where nobody has. */
export function intrusion({ Service }: Rollout, status: RolloutStatus, entries: ConfigEntryIndex): string | undefined {
  if (status.SplitterIndex === NOT_OWNED) return undefined
  const splitter = entries.get('service-splitter', Service)
  if (splitter === undefined) return `service-splitter ${Service} was deleted by another writer`
  if (splitter.ModifyIndex !== status.SplitterIndex) {
    const legs = splitter.Splits.map(leg => `${legName(leg, Service)} ${leg.Weight} %`).join(', ')
    const mark = splitter.Meta?.[OWNER_META]
    return `service-splitter ${Service} was written by another at index ${splitter.ModifyIndex} (the rollout's was ${status.SplitterIndex}): ${legs}${mark === undefined ? '' : `, marked ${mark}`}`
  }
  const router = entries.get('service-router', Service)
  if (status.RouterIndex === NOT_OWNED || router?.ModifyIndex === status.RouterIndex) return undefined
  return router === undefined
    ? `service-router ${Service} was deleted by another writer`
    : `service-router ${Service} was written by another at index ${router.ModifyIndex} (the rollout's was ${status.RouterIndex})`
}

function legName({ Service = '', ServiceSubset = '' }: ServiceSplit, own: string): string {
  const name = Service === '' || Service === own ? ServiceSubset : `${Service}${ServiceSubset === '' ? '' : `/${ServiceSubset}`}`
  return name === '' ? 'the default subset' : name
}
