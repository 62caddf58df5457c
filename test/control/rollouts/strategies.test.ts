// The ways to try a new version: copies of requests first, blue/green, cohorts by header or cookie, webhooks and Prometheus as judges.
import { describe, expect, it } from 'vitest'
import type { Notice } from '../../../src/control/rollouts/outside-calls.js'
import { CANARY, FAIR, INTERVAL_MS, Lab } from './rollout-lab.js'

const MIRROR = { Percent: 12.5, Duration: '20s' }

describe('mirror first', () => {
  it('sends copies and no request, is judged by them, and takes them away at the first step', async () => {
    const lab = await Lab.open({ ...CANARY, Mirror: MIRROR })
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Mirroring')
    const splitter = lab.entries.get('service-splitter', 'api')!
    expect(splitter.Meta).toEqual({ 'outrigger-rollout': 'canary', 'outrigger-mirror': 'v2:12.5' })
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
    await lab.runUntil(({ Phase }) => Phase === 'Stepping')
    expect(lab.status).toMatchObject({ Step: 0, Weight: 5, MirrorPercent: 0 })
    expect(lab.entries.get('service-splitter', 'api')!.Meta).toEqual({ 'outrigger-rollout': 'canary' })
  })

  it('goes back before a single request has gone there, when the copies fail', async () => {
    const lab = await Lab.open({ ...CANARY, Mirror: MIRROR })
    lab.weather = { ...FAIR, successRate: 0.2 }
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.status.Audit.map(({ Weight }) => Weight)).toEqual([0, 0, 0, 0])
    expect(lab.entries.get('service-splitter', 'api')!.Meta).toEqual({ 'outrigger-rollout': 'canary' })
  })
})

describe('blue/green', () => {
  const { Steps: _steps, ...rest } = CANARY
  const BLUE_GREEN = { ...rest, BlueGreen: { Gate: 'manual', Observe: '60s' }, Cohorts: [{ Header: 'x-preview', Exact: 'green' }] }

  it('shows the new version to the preview alone, then gives it everything at once', async () => {
    const lab = await Lab.open(BLUE_GREEN)
    // Nobody looks at the preview, and that is nothing against it.
    lab.weather = { ...FAIR, requests: 0 }
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Gated')
    await lab.run(20 * INTERVAL_MS)
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
    expect(lab.entries.get('service-router', 'api')!.Routes).toEqual([
      {
        Match: { HTTP: { PathPrefix: '/', Header: [{ Name: 'x-preview', Exact: 'green' }] } },
        Destination: { Service: 'api', ServiceSubset: 'v2' },
      },
    ])
    lab.weather = { ...FAIR }
    await lab.act('promote')
    expect(lab.split).toEqual({ v1: 0, v2: 100 })
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
    expect(lab.entries.get('service-router', 'api')).toBeUndefined()
  })

  it('goes back at once when the preview fails', async () => {
    const lab = await Lab.open(BLUE_GREEN)
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Gated')
    lab.weather = { ...FAIR, requests: 60, successRate: 0.5 }
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.entries.get('service-router', 'api')).toBeUndefined()
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
  })

  it('goes back while all requests are observed', async () => {
    const lab = await Lab.open(BLUE_GREEN)
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Gated')
    await lab.act('promote')
    lab.weather = { ...FAIR, p99: 5_000 }
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
  })
})

describe('cohorts', () => {
  const AB = {
    ...CANARY,
    Cohorts: [
      { Cookie: 'beta.1', Exact: 'on' },
      { Header: 'x-team', Prefix: 'dev-' },
    ],
  }

  it('are routes of a router that is there while the rollout runs, and no longer', async () => {
    const lab = await Lab.open(AB)
    await lab.act('start')
    await lab.runUntil(({ Step }) => Step === 1)
    const routes = lab.entries.get('service-router', 'api')!.Routes.map(({ Match }) => Match!.HTTP!.Header![0]!)
    expect(routes).toEqual([
      { Name: 'cookie', Regex: '(.*;\\s*)?beta\\.1=on(\\s*;.*)?' },
      { Name: 'x-team', Prefix: 'dev-' },
    ])
    await lab.act('abort')
    expect(lab.entries.get('service-router', 'api')).toBeUndefined()
  })

  it.each([
    ['beta.1=on', true],
    ['a=b; beta.1=on; c=d', true],
    ['a=b;beta.1=on', true],
    ['xbeta.1=on', false],
    ['beta.1=once', false],
    ['betaX1=on', false],
  ])('a cookie header %j is in it: %s', async (header, isIn) => {
    const lab = await Lab.open(AB)
    await lab.act('start')
    await lab.run(1_000)
    const { Regex } = lab.entries.get('service-router', 'api')!.Routes[0]!.Match!.HTTP!.Header![0]!
    expect(new RegExp(`^(?:${Regex})$`).test(header)).toBe(isIn)
  })

  it('a router that another writes stops the rollout', async () => {
    const lab = await Lab.open(AB)
    await lab.act('start')
    await lab.run(1_000)
    await lab.entry({ Kind: 'service-router', Name: 'api', Routes: [] })
    await lab.run(1_000)
    expect(lab.phase).toBe('Conflicted')
    expect(lab.status.Reason).toMatch(/^service-router api was written by another/)
    expect(lab.entries.get('service-router', 'api')!.Routes).toEqual([])
  })
})

describe('webhooks', () => {
  const hook = (When: string): object => ({ Name: When, When, URL: 'http://127.0.0.1:1/' })
  const withHooks = { ...CANARY, Webhooks: [hook('before'), hook('during'), hook('after')] }

  it('are told before, during and after, with where it stands', async () => {
    const lab = await Lab.open(withHooks)
    const told: Notice[] = []
    lab.calls = { ...lab.calls, notify: async (_webhook, notice) => void told.push(notice) }
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
    expect(told[0]).toMatchObject({ When: 'before', Rollout: 'canary', Service: 'api', Phase: 'Starting', Weight: 0 })
    expect(told.at(-1)).toMatchObject({ When: 'after', Phase: 'Finishing', Weight: 100 })
    const during = told.filter(({ When }) => When === 'during')
    expect(new Set(during.map(({ Weight }) => Weight))).toEqual(new Set([5, 50, 100]))
  })

  it('have an id that is the same when the same is told again, and another in each interval', async () => {
    const lab = await Lab.open(withHooks)
    const ids: Record<string, string[]> = { before: [], during: [], after: [] }
    lab.calls = { ...lab.calls, notify: async ({ When }, _notice, id) => void ids[When]!.push(id) }
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
    const all = Object.values(ids).flat()
    expect(new Set(all).size).toBe(all.length)
    expect(all.every(id => /^msg_[\w-]{27}$/.test(id))).toBe(true)

    const killed = await Lab.open(withHooks)
    const told: string[] = []
    killed.calls = {
      ...killed.calls,
      notify: async (_webhook, _notice, id, signal) => {
        told.push(id)
        await new Promise(resolve => signal.addEventListener('abort', resolve))
        return 'cancelled'
      },
    }
    await killed.act('start')
    await killed.run(1_000)
    killed.restart()
    await killed.run(1_000)
    expect(told).toHaveLength(2)
    expect(told[0]).toBe(told[1])
  })

  it.each(['before', 'during', 'after'])('that fail %s', async failing => {
    const lab = await Lab.open(withHooks)
    lab.calls = { ...lab.calls, notify: async ({ When }) => (When === failing ? `webhook "${When}": HTTP 500` : undefined) }
    await lab.act('start')
    await lab.runUntil(() => lab.ends.length > 0)
    // Before: nothing is moved. During: it goes back. After: it is only said.
    expect(lab.ends).toEqual([failing === 'after' ? 'Succeeded' : 'RolledBack'])
    expect(lab.status.Reason).toContain(`webhook "${failing}": HTTP 500`)
    expect(lab.moves === 0).toBe(failing === 'before')
  })
})

describe('Prometheus', () => {
  const query = { Name: 'carts', Query: 'rate(carts_total[1m])', Min: 1 }
  const withQuery = { ...CANARY, Analysis: { Interval: '10s', Prometheus: { URL: 'http://127.0.0.1:1', Queries: [query] } } }

  it('that says no has it rolled back', async () => {
    const lab = await Lab.open(withQuery)
    await lab.act('start')
    await lab.runUntil(({ Step }) => Step === 1)
    lab.calls = { ...lab.calls, ask: async () => ({ kind: 'bad', reason: 'query "carts": 0.2 below 1' }) }
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.status.Reason).toBe('query "carts": 0.2 below 1')
  })

  it('that is gone holds it, and then has it rolled back', async () => {
    const lab = await Lab.open(withQuery)
    lab.calls = { ...lab.calls, ask: async () => ({ kind: 'hold', reason: 'metrics gone: query "carts": ECONNREFUSED' }) }
    await lab.act('start')
    await lab.runUntil(({ Holds }) => Holds === 1)
    expect(lab.phase).toBe('Stepping')
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.status.Reason).toBe('metrics gone: query "carts": ECONNREFUSED')
  })
})
