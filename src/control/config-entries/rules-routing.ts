// Rules of service-router, service-splitter and service-resolver that one entry alone can break.
// Called by `parse-config-entry.ts` after the shape is known to be right; whether a chain still compiles is `validateWrite`.
import { compileFilter } from './filter-expression.js'
import {
  commonRules,
  failoverPolicyRules,
  headerMatchRules,
  headerModifierRules,
  methodRules,
  pathRules,
  RETRY_ON,
  type Report,
  regexRules,
  serviceNameRules,
} from './rules-common.js'
import { MIRROR_META, mirrorProblem } from './splitter-mirror.js'
import type {
  LoadBalancer,
  ResolverFailover,
  ResolverRedirect,
  ServiceResolver,
  ServiceRoute,
  ServiceRouter,
  ServiceSplitter,
} from './types.js'

export function routerRules(entry: ServiceRouter, report: Report): ServiceRouter {
  commonRules(entry, report)
  return { ...entry, Routes: (entry.Routes ?? []).map((route, i) => routeRules(`Routes[${i}]`, route, report)) }
}

function routeRules(path: string, route: ServiceRoute, report: Report): ServiceRoute {
  const http = route.Match?.HTTP
  const httpPath = `${path}.Match.HTTP`
  if (http !== undefined) {
    pathRules(httpPath, http, report)
    headerMatchRules(`${httpPath}.Header`, http.Header, report)
    for (const [j, param] of (http.QueryParam ?? []).entries()) {
      const at = `${httpPath}.QueryParam[${j}]`
      if (param.Name === undefined) report(`${at}.Name`, 'is required')
      if ([param.Present, param.Exact, param.Regex].filter(value => value !== undefined).length !== 1) {
        report(at, 'needs exactly one of Present, Exact and Regex')
      }
      regexRules(`${at}.Regex`, param.Regex, report)
    }
  }
  const destination = route.Destination
  if (destination !== undefined) {
    const at = `${path}.Destination`
    serviceNameRules(`${at}.Service`, destination.Service, report)
    if (destination.PrefixRewrite !== undefined && http?.PathExact === undefined && http?.PathPrefix === undefined) {
      report(`${at}.PrefixRewrite`, 'needs PathExact or PathPrefix in the match')
    }
    for (const [j, condition] of (destination.RetryOn ?? []).entries()) {
      if (!RETRY_ON.has(condition)) report(`${at}.RetryOn[${j}]`, `is not a retry condition: ${JSON.stringify(condition)}`)
    }
    headerModifierRules(`${at}.RequestHeaders`, destination.RequestHeaders, report)
    headerModifierRules(`${at}.ResponseHeaders`, destination.ResponseHeaders, report)
  }
  const methods = methodRules(`${httpPath}.Methods`, http?.Methods, report)
  return methods === undefined ? route : { ...route, Match: { HTTP: { ...http, Methods: methods } } }
}

/** Weights are kept in hundredths, rounded half away from zero as Consul rounds. */
export const scaleWeight = (weight: number) => Math.round(Math.fround(Math.fround(weight) * 100))

const FULL_WEIGHT_SCALED = 10_000

export function splitterRules(entry: ServiceSplitter, report: Report): ServiceSplitter {
  commonRules(entry, report)
  const splits = (entry.Splits ?? []).map(split => ({ ...split, Weight: split.Weight ?? 0 }))
  if (splits.length === 0) report('Splits', 'is required: no splits configured')
  const seen = new Set<string>()
  let sum = 0
  for (const [i, split] of splits.entries()) {
    const path = `Splits[${i}]`
    serviceNameRules(`${path}.Service`, split.Service, report)
    headerModifierRules(`${path}.RequestHeaders`, split.RequestHeaders, report)
    headerModifierRules(`${path}.ResponseHeaders`, split.ResponseHeaders, report)
    if (!(split.Weight >= 0 && split.Weight <= 100)) report(`${path}.Weight`, `must be from 0 to 100, not ${split.Weight}`)
    const service = split.Service ?? entry.Name
    const key = JSON.stringify([service, split.ServiceSubset ?? '', split.Namespace ?? 'default', split.Partition ?? 'default'])
    if (seen.has(key)) report(path, `is a destination that occurs more than once: service=${service} subset=${split.ServiceSubset ?? ''}`)
    seen.add(key)
    sum += scaleWeight(split.Weight)
    split.Weight = scaleWeight(split.Weight) / 100
  }
  if (splits.length > 0 && sum !== FULL_WEIGHT_SCALED) report('Splits', `the sum of all weights must be 100, not ${sum / 100}`)
  const mirror = mirrorProblem({ ...entry, Splits: splits })
  if (mirror !== undefined) report(`Meta.${MIRROR_META}`, mirror)
  return { ...entry, Splits: splits }
}

const SUBSET_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/
const MAX_SUBSET_NAME_LENGTH = 63

export function resolverRules(entry: ServiceResolver, report: Report): ServiceResolver {
  commonRules(entry, report)
  const subsets = entry.Subsets ?? {}
  const isSubset = (name: string) => Object.hasOwn(subsets, name)
  for (const [name, subset] of Object.entries(subsets)) {
    const path = `Subsets[${JSON.stringify(name)}]`
    if (name.length > MAX_SUBSET_NAME_LENGTH || !SUBSET_NAME.test(name)) report(path, 'is not a DNS label (a-z, 0-9 and -, at most 63)')
    if (subset.Filter !== undefined) {
      const compiled = compileFilter(subset.Filter)
      if ('error' in compiled) report(`${path}.Filter`, compiled.error)
    }
  }
  if (entry.DefaultSubset !== undefined && !isSubset(entry.DefaultSubset)) {
    report('DefaultSubset', `${JSON.stringify(entry.DefaultSubset)} is not a subset of this entry`)
  }
  if (entry.Redirect !== undefined) redirectRules(entry, entry.Redirect, isSubset, report)
  if (entry.Redirect !== undefined && Object.keys(entry.Failover ?? {}).length > 0) {
    report('Redirect', 'and Failover cannot both be set')
  }
  for (const [subset, failover] of Object.entries(entry.Failover ?? {})) failoverRules(entry, subset, failover, isSubset, report)
  for (const field of ['ConnectTimeout', 'RequestTimeout'] as const) {
    if (entry[field]?.startsWith('-')) report(field, `must not be negative: ${entry[field]}`)
  }
  if (entry.LoadBalancer !== undefined) loadBalancerRules(entry.LoadBalancer, report)
  return entry
}

function redirectRules(entry: ServiceResolver, redirect: ResolverRedirect, isSubset: (name: string) => boolean, report: Report) {
  const { Service, ServiceSubset, Namespace, Partition, Datacenter, Peer, SamenessGroup } = redirect
  if ([Service, ServiceSubset, Namespace, Partition, Datacenter, Peer, SamenessGroup].every(value => value === undefined)) {
    return report('Redirect', 'is empty')
  }
  serviceNameRules('Redirect.Service', Service, report)
  if (Peer !== undefined) {
    for (const field of ['ServiceSubset', 'Partition', 'Datacenter'] as const) {
      if (redirect[field] !== undefined) report(`Redirect.${field}`, 'cannot be set with Peer')
    }
  }
  if (Service === undefined) {
    for (const field of ['ServiceSubset', 'Namespace', 'Partition', 'Peer'] as const) {
      if (redirect[field] !== undefined) report(`Redirect.${field}`, 'needs Redirect.Service')
    }
  } else if (Service === entry.Name && ServiceSubset !== undefined && !isSubset(ServiceSubset)) {
    report('Redirect.ServiceSubset', `${JSON.stringify(ServiceSubset)} is not a subset of ${JSON.stringify(entry.Name)}`)
  }
}

function failoverRules(
  entry: ServiceResolver,
  subset: string,
  failover: ResolverFailover,
  isSubset: (name: string) => boolean,
  report: Report,
) {
  const path = `Failover[${JSON.stringify(subset)}]`
  const { Service, ServiceSubset, Namespace, SamenessGroup, Datacenters, Targets } = failover
  if (subset !== '*' && !isSubset(subset)) report(path, 'is neither "*" nor a subset of this entry')
  if ([Service, ServiceSubset, Namespace, SamenessGroup, Datacenters, Targets].every(value => value === undefined)) {
    report(path, 'needs one of Service, ServiceSubset, Namespace, Targets and Datacenters')
  }
  failoverPolicyRules(`${path}.Policy`, failover.Policy, report)
  serviceNameRules(`${path}.Service`, Service, report)
  const ownSubset = (at: string, service: string | undefined, name: string | undefined) => {
    if (name !== undefined && (service === undefined || service === entry.Name) && !isSubset(name)) {
      report(`${at}.ServiceSubset`, `${JSON.stringify(name)} is not a subset of ${JSON.stringify(entry.Name)}`)
    }
  }
  ownSubset(path, Service, ServiceSubset)
  if (Targets !== undefined) {
    for (const field of ['Datacenters', 'Service', 'ServiceSubset', 'Namespace'] as const) {
      if (failover[field] !== undefined) report(`${path}.${field}`, 'cannot be set with Targets')
    }
  }
  for (const [i, target] of (Targets ?? []).entries()) {
    const at = `${path}.Targets[${i}]`
    serviceNameRules(`${at}.Service`, target.Service, report)
    if (target.Peer !== undefined) {
      for (const field of ['ServiceSubset', 'Partition', 'Datacenter'] as const) {
        if (target[field] !== undefined) report(`${at}.${field}`, 'cannot be set with Peer')
      }
    } else {
      ownSubset(at, target.Service, target.ServiceSubset)
    }
    if (target.Partition !== undefined && target.Datacenter !== undefined) report(`${at}.Partition`, 'cannot be set with Datacenter')
  }
  for (const [i, datacenter] of (Datacenters ?? []).entries()) {
    if (datacenter === '') report(`${path}.Datacenters[${i}]`, 'is empty')
  }
}

function loadBalancerRules(lb: LoadBalancer, report: Report) {
  const policy = lb.Policy ?? ''
  if (lb.RingHashConfig !== undefined && policy !== 'ring_hash') report('LoadBalancer.RingHashConfig', 'needs Policy "ring_hash"')
  if (lb.LeastRequestConfig !== undefined && policy !== 'least_request') {
    report('LoadBalancer.LeastRequestConfig', 'needs Policy "least_request"')
  }
  if (lb.HashPolicies !== undefined && policy !== 'ring_hash' && policy !== 'maglev') {
    report('LoadBalancer.HashPolicies', 'needs Policy "ring_hash" or "maglev"')
  }
  for (const [i, hash] of (lb.HashPolicies ?? []).entries()) {
    const path = `LoadBalancer.HashPolicies[${i}]`
    if (hash.SourceIP && (hash.Field !== undefined || hash.FieldValue !== undefined)) {
      report(path, 'has SourceIP together with Field or FieldValue')
    } else if (hash.Field !== undefined && hash.FieldValue === undefined) {
      report(`${path}.FieldValue`, 'is required with Field')
    } else if (hash.FieldValue !== undefined && hash.Field === undefined) {
      report(`${path}.Field`, 'is required with FieldValue')
    } else if (!hash.SourceIP && hash.Field === undefined) {
      report(path, 'needs Field and FieldValue, or SourceIP')
    }
    if (hash.CookieConfig !== undefined) {
      if (hash.Field !== 'cookie') report(`${path}.CookieConfig`, 'needs Field "cookie"')
      if (hash.CookieConfig.Session && hash.CookieConfig.TTL !== undefined) {
        report(`${path}.CookieConfig`, 'a session cookie cannot have a TTL')
      }
    }
  }
}
