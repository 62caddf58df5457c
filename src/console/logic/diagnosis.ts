// Why a request from one service to another is refused (403) or finds nobody (503): what the server explains, the health of the destination
// and the state of both ends' sidecars, as findings in the order in which a request meets them. Pure; shown by diagnose.tsx.
import type { Explanation, HealthEntry, ProxyState, TrafficTotals } from '../api/answers.js'
import { percent, plural } from './figures.js'
import { healthOf, isRejected, rejection } from './states.js'

export interface Finding {
  readonly level: 'ok' | 'warning' | 'problem'
  /** The status that a caller sees because of it. */
  readonly status?: 403 | 503
  readonly title: string
  readonly detail: string
}

export interface Evidence {
  readonly explanation: Explanation
  readonly instances: readonly HealthEntry[]
  /** Undefined: the token may not see them. */
  readonly proxies: readonly ProxyState[] | undefined
  readonly traffic: TrafficTotals | undefined
}

export function diagnose({ explanation, instances, proxies, traffic }: Evidence): Finding[] {
  const { from, to } = explanation
  const findings: Finding[] = []
  if (proxies !== undefined) {
    findings.push(...sidecarFindings(from, 'caller', proxies))
    // Native services, and those behind a gateway or of other names, are reached without.
    if (!explanation.reached || proxies.some(({ Service }) => Service === to)) findings.push(...sidecarFindings(to, 'destination', proxies))
  }
  findings.push(
    explanation.allowed
      ? { level: 'ok', title: 'Intentions allow it', detail: explanation.reason }
      : { level: 'problem', status: 403, title: 'Intentions deny it', detail: explanation.reason },
  )
  findings.push(...reachFindings(explanation))
  findings.push(healthFinding(to, instances, explanation.reached))
  for (const warning of explanation.warnings) findings.push({ level: 'warning', title: 'Worth knowing', detail: warning })
  if (traffic !== undefined && traffic.Requests > 0)
    findings.push({
      level: traffic.Failures > 0 ? 'warning' : 'ok',
      title: traffic.Failures > 0 ? 'Requests fail now' : 'Requests succeed now',
      detail: `${plural(traffic.Requests, 'request')} in the last minute, ${plural(traffic.Failures, 'failure')}, success ${percent(traffic.SuccessRate)}`,
    })
  return findings
}

function sidecarFindings(service: string, role: string, proxies: readonly ProxyState[]): Finding[] {
  const own = proxies.filter(proxy => proxy.Service === service)
  if (own.length === 0)
    return [
      {
        level: 'problem',
        status: 503,
        title: `${service} has no sidecar`,
        detail: `The ${role} is not in the mesh: no sidecar is registered for it.`,
      },
    ]
  const rejected = own.filter(isRejected)
  if (rejected.length > 0)
    return [
      {
        level: 'problem',
        title: `A sidecar of ${service} refuses its configuration`,
        detail: `${rejected[0]!.ID}: ${rejection(rejected[0]!)}. It goes on with what it had before.`,
      },
    ]
  const away = own.filter(({ Connected }) => !Connected)
  if (away.length === own.length)
    return [
      {
        level: 'problem',
        title: `No sidecar of ${service} is connected`,
        detail: `${away.map(({ ID }) => ID).join(', ')}: one that runs goes on with what it had; one that does not run takes no request.`,
      },
    ]
  const behind = own.filter(({ Connected, Synced }) => Connected && !Synced)
  if (behind.length > 0)
    return [
      {
        level: 'warning',
        title: `${plural(behind.length, 'sidecar')} of ${service} warming`,
        detail: behind.map(({ ID }) => ID).join(', '),
      },
    ]
  return [{ level: 'ok', title: `The sidecars of ${service} are in sync`, detail: plural(own.length, 'sidecar') }]
}

/** Where the discovery chain leads to nobody. */
function reachFindings({ reached, unreached }: Explanation): Finding[] {
  const detail = `${unreached.join('; ')}.`
  if (unreached.length === 0) return []
  return reached
    ? [{ level: 'warning', title: 'Some requests find nobody', detail: `These get 503: ${detail}` }]
    : [{ level: 'problem', status: 503, title: 'Requests find nobody', detail }]
}

/** `reached`: requests end elsewhere, or there is a healthy one. */
function healthFinding(service: string, instances: readonly HealthEntry[], reached: boolean): Finding {
  if (instances.length === 0)
    return reached
      ? { level: 'ok', title: `${service} has no instance of its own`, detail: 'Its requests go to other services, or to a gateway.' }
      : {
          level: 'problem',
          status: 503,
          title: `${service} has no instance`,
          detail: 'Nothing is registered under this name: a caller gets 503.',
        }
  const healthy = instances.filter(entry => healthOf(entry.Checks) !== 'critical')
  if (healthy.length > 0)
    return {
      level: healthy.length === instances.length ? 'ok' : 'warning',
      title: `${healthy.length} of ${plural(instances.length, 'instance')} of ${service} take requests`,
      detail: healthy.length === instances.length ? 'All checks pass.' : failing(instances),
    }
  const title = `No instance of ${service} is healthy`
  return reached
    ? { level: 'warning', title, detail: failing(instances) }
    : { level: 'problem', status: 503, title, detail: failing(instances) }
}

function failing(instances: readonly HealthEntry[]): string {
  const checks = instances.flatMap(({ Service, Checks }) =>
    Checks.filter(({ Status }) => Status === 'critical').map(check => ({ Service, check })),
  )
  return checks
    .map(({ Service, check }) => `${Service.ID}: ${check.Name}${check.Output === '' ? '' : ` (${check.Output.slice(0, 200)})`}`)
    .join('; ')
}
