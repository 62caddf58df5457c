// What a rollout may say: canonical form in any spelling, and every problem named by its field.
import { describe, expect, it } from 'vitest'
import { parseRollout } from '../../../src/control/rollouts/parse-rollout.js'
import { CANARY, parsed } from './rollout-lab.js'

/** Paths and reasons, one text an error. */
function errors(change: object): string[] {
  const result = parseRollout({ ...CANARY, ...change }, 'canary')
  return 'errors' in result ? result.errors.map(({ path, reason }) => `${path}: ${reason}`) : []
}

it('takes any spelling of a field, and fills in what goes without saying', () => {
  const rollout = parsed({
    kind: 'rollout',
    service: 'api',
    from: 'v1',
    to: 'v2',
    steps: [{ weight: '12.345', pause: 90e9 }],
    analysis: { success_rate: 99 },
  })
  expect(rollout).toEqual({
    Kind: 'rollout',
    Name: 'canary',
    Service: 'api',
    From: 'v1',
    To: 'v2',
    Cohorts: [],
    Steps: [{ Weight: 12.35, Pause: '1m30s' }],
    Analysis: { Interval: '30s', MinRequests: 20, SuccessRate: 99, FailureLimit: 1, HoldLimit: 2 },
    Webhooks: [],
    AcceptTimeout: '30s',
  })
  expect(parsed(rollout)).toEqual(rollout)
})

describe('refuses', () => {
  const SECRET_URL = 'http://me:secret@127.0.0.1/'
  it.each<readonly [object, string]>([
    [{ Nmae: 'x' }, 'Nmae: unknown field'],
    [{ Name: 'other' }, 'Name: must be "canary", as in the path'],
    [{ Kind: 'service-router' }, 'Kind: must be rollout, not "service-router"'],
    [{ Service: '' }, 'Service: is required'],
    [{ Service: 'a/b' }, 'Service: contains a space, a control character or one of / \\ ? #'],
    [{ From: undefined }, 'From: is required: a subset of the service-resolver of Service'],
    [{ To: 'v1' }, 'To: must be another subset than From'],
    [{ Steps: undefined }, 'Steps: is required (or BlueGreen)'],
    [{ Steps: 'all' }, 'Steps: must be a list'],
    [{ Steps: [{ Weight: 101 }] }, 'Steps[0].Weight: must be from 0 to 100, not 101'],
    [{ Steps: [{ Weight: 'x' }] }, 'Steps[0].Weight: must be a number'],
    [{ Steps: [{ Pause: '1m' }] }, 'Steps[0].Weight: is required'],
    [{ Steps: [{ Weight: 20 }, { Weight: 10 }] }, 'Steps[1].Weight: must not be less than that of the step before (20)'],
    [{ Steps: [{ Weight: 20, Pause: '-1s' }] }, 'Steps[0].Pause: must be a duration from 0s to 168h0m0s'],
    [{ Steps: [{ Weight: 20, Gate: 'auto' }] }, 'Steps[0].Gate: must be manual, not "auto"'],
    [{ BlueGreen: {} }, 'Steps: cannot be set with BlueGreen, which has two of its own'],
    [{ Mirror: { Percent: 0, Duration: '1m' } }, 'Mirror.Percent: must be from 0.01 to 100, not 0'],
    [{ Mirror: { Percent: 5 } }, 'Mirror.Duration: is required'],
    [{ Cohorts: [{ Exact: 'x' }] }, 'Cohorts[0]: needs one of Header and Cookie'],
    [{ Cohorts: [{ Header: 'a' }] }, 'Cohorts[0]: needs exactly one of Exact, Prefix, Regex and Present'],
    [
      { Cohorts: [{ Header: 'a', Regex: '(' }] },
      'Cohorts[0].Regex: is not an RE2 expression: error parsing regexp: missing closing ): `(`',
    ],
    [{ Cohorts: [{ Cookie: 'a', Prefix: 'b' }] }, 'Cohorts[0]: of a cookie, only Exact can be asked'],
    [{ Cohorts: [{ Header: 'a b', Exact: 'b' }] }, 'Cohorts[0].Header: is not a name of a header or cookie'],
    [{ Analysis: { SuccessRate: 0.99 } }, 'Analysis.SuccessRate: must be a percentage from 1 to 100 (99, not 0.99), not 0.99'],
    [{ Analysis: { Interval: '10ms', P99: '1s' } }, 'Analysis.Interval: must be a duration from 1s to 1h0m0s'],
    [{ Analysis: {} }, 'Analysis: needs at least one of SuccessRate, P99 and Prometheus'],
    [{ Analysis: { P99: '1s', FailureLimit: 0 } }, 'Analysis.FailureLimit: must be an integer from 1 to 1000'],
    [
      { Analysis: { Prometheus: { URL: 'x', Queries: [{ Query: 'up', Min: 1 }] } } },
      'Analysis.Prometheus.URL: must be an http or https URL',
    ],
    [{ Analysis: { Prometheus: { URL: 'http://p', Queries: [] } } }, 'Analysis.Prometheus.Queries: is required'],
    [{ Analysis: { Prometheus: { URL: 'http://p', Queries: [{ Query: 'up' }] } } }, 'Analysis.Prometheus.Queries[0]: needs Min or Max'],
    [
      { Webhooks: [{ Name: 'x', When: 'during', URL: SECRET_URL }] },
      'Webhooks[0].URL: must not hold a user or a password: whoever reads the rollout would read them',
    ],
    [{ Webhooks: [{ Name: 'x', When: 'never', URL: 'http://h' }] }, 'Webhooks[0].When: must be before, during or after'],
    [
      { Webhooks: [{ Name: 'x', When: 'after', URL: 'http://h', Timeout: '1h' }] },
      'Webhooks[0].Timeout: must be a duration from 100ms to 1m0s',
    ],
    [{ AcceptTimeout: '1ms' }, 'AcceptTimeout: must be a duration from 1s to 1h0m0s'],
  ])('%j', (change, expected) => {
    expect(errors(change)).toEqual([expected])
  })

  it('all of it at once', () => {
    expect(errors({ From: '', Steps: [{ Weight: -1 }], Extra: 1 })).toHaveLength(3)
    expect(parseRollout([], 'canary')).toEqual({ errors: [{ path: '', reason: 'must be an object' }] })
  })
})
