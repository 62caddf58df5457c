import { describe, expect, it } from 'vitest'
import type { Explanation, HealthEntry, ProxyState } from '../../../src/console/api/answers.js'
import { diagnose, type Evidence } from '../../../src/console/logic/diagnosis.js'
import { healthOf, proxyStatus, rejection } from '../../../src/console/logic/states.js'

const EXPLAINED: Explanation = {
  from: 'web',
  to: 'api',
  protocol: 'http',
  allowed: true,
  reason: 'intention web -> api (precedence 9) allows',
  defaultPolicy: 'deny',
  precedence: [],
  targets: [],
  warnings: [],
  reached: true,
  unreached: [],
}

const DEAD: Explanation = { ...EXPLAINED, reached: false, unreached: ['the only instance of api is not healthy'] }

const instance = (status: string): HealthEntry => ({
  Node: { Node: 'n1', Address: '127.0.0.1' },
  Service: { ID: 'api-1', Service: 'api', Tags: [], Meta: {}, Address: '', Port: 80 },
  Checks: [{ CheckID: 'c', Name: 'alive', Status: status, Output: 'connection refused', ServiceID: 'api-1' }],
})

const proxy = (Service: string, over: Partial<ProxyState> = {}): ProxyState => ({
  ID: `${Service}-sidecar-proxy`,
  Service,
  Connected: true,
  Synced: true,
  AcknowledgedIndex: 7,
  Streams: [],
  ...over,
})
const NACKED: Partial<ProxyState> = {
  Synced: false,
  Streams: [
    {
      Peer: '',
      Protocol: 'delta',
      OpenedAt: '',
      Types: [
        {
          TypeURL: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
          InFlight: false,
          LastNack: { At: '', Message: 'no such thing', Names: [] },
        },
      ],
    },
  ],
}

function statuses(over: Partial<Evidence>): (number | undefined)[] {
  const findings = diagnose({
    explanation: EXPLAINED,
    instances: [instance('passing')],
    proxies: [proxy('web'), proxy('api')],
    traffic: undefined,
    ...over,
  })
  return findings.filter(({ level }) => level === 'problem').map(({ status }) => status)
}

describe('why a request is refused or finds nobody', () => {
  it('finds nothing where all is well', () => {
    expect(statuses({})).toEqual([])
  })

  it('is 403 where intentions deny, in the words of the control plane', () => {
    const reason = 'no intention matched batch -> api; the default is deny'
    const findings = diagnose({
      explanation: { ...EXPLAINED, allowed: false, reason },
      instances: [instance('passing')],
      proxies: undefined,
      traffic: undefined,
    })
    expect(findings.find(({ status }) => status === 403)?.detail).toBe(reason)
  })

  it('is 503 without an instance, without a healthy one and without a sidecar', () => {
    expect(statuses({ explanation: DEAD, instances: [] })).toEqual([503, 503])
    expect(statuses({ explanation: DEAD, instances: [instance('critical')] })).toEqual([503, 503])
    expect(statuses({ explanation: DEAD, proxies: [proxy('web')] })).toEqual([503, 503])
    // One that is away from its control plane may serve all the same.
    expect(statuses({ proxies: [proxy('web'), proxy('api', { Connected: false })] })).toEqual([undefined])
  })

  it('is none where requests end elsewhere, or at a gateway, and some where one leg of a split finds nobody', () => {
    expect(statuses({ instances: [], proxies: [proxy('web')] })).toEqual([])
    expect(statuses({ instances: [instance('critical')] })).toEqual([])
    const unreached = ['10 % of the split, subset v2, none of the 3 instances of api fits Service.Meta.version == v2']
    const findings = diagnose({
      explanation: { ...EXPLAINED, unreached },
      instances: [instance('passing')],
      proxies: undefined,
      traffic: undefined,
    })
    expect(findings.find(({ level }) => level === 'warning')?.detail).toContain(unreached[0])
  })

  it('names what a sidecar refuses, and what a failing check says', () => {
    const findings = diagnose({
      explanation: EXPLAINED,
      instances: [instance('critical')],
      proxies: [proxy('web'), proxy('api', NACKED)],
      traffic: undefined,
    })
    expect(findings.map(({ detail }) => detail).join('\n')).toMatch(
      /api-sidecar-proxy: Cluster: no such thing[\s\S]*api-1: alive \(connection refused\)/,
    )
  })
})

describe('states', () => {
  it('of a proxy are what the server knows of it', () => {
    expect(proxyStatus(proxy('api'))).toBe('accepted')
    expect(proxyStatus(proxy('api', { Synced: false }))).toBe('warming')
    expect(proxyStatus(proxy('api', NACKED))).toBe('rejected')
    expect(proxyStatus(proxy('api', { ...NACKED, Connected: false }))).toBe('away')
    expect(rejection(proxy('api', NACKED))).toBe('Cluster: no such thing')
  })

  it('of health are the worst of the checks', () => {
    expect(healthOf([])).toBe('passing')
    expect(healthOf([{ Status: 'passing' }, { Status: 'warning' }])).toBe('warning')
    expect(healthOf([{ Status: 'warning' }, { Status: 'critical' }])).toBe('critical')
  })
})
