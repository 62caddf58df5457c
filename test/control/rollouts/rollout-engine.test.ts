// Rollouts that go well, and that go badly in every way at every step, in a mesh made of numbers and a clock moved by hand. What others were
// reported for is here by name: no way back while a gate waits, a way back after the promotion, a freeze in place of it (fluxcd/flagger#1801, #616,
// #1186; argoproj/argo-rollouts#3311).
import { describe, expect, it } from 'vitest'
import { proxyAcceptance } from '../../../src/control/rollouts/proxy-acceptance.js'
import { MAX_AUDIT_RECORDS, RolloutWriter } from '../../../src/control/rollouts/rollout-writer.js'
import { put } from '../../../src/control/store/store.js'
import { LeaseLost } from '../../../src/control/store/task-leases.js'
import type { AdsTypeStatus } from '../../../src/xds/server/server.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../../src/xds/type-urls.js'
import { CANARY, FAIR, INTERVAL_MS, Lab, REPORT_MS } from './rollout-lab.js'

/** §1.7 of what users ask: what goes wrong elsewhere is rolled back within this. */
const TWO_INTERVALS_MS = 2 * INTERVAL_MS + REPORT_MS

interface Way {
  readonly name: string
  readonly reason: RegExp
  turn(lab: Lab): void
}

const WAYS: readonly Way[] = [
  { name: 'errors', reason: /^errors: success rate 90 % below 99 %/, turn: lab => void (lab.weather = { ...FAIR, successRate: 0.9 }) },
  { name: 'latency', reason: /^latency: p99 900 ms above 250 ms/, turn: lab => void (lab.weather = { ...FAIR, p99: 900 }) },
  { name: 'no traffic', reason: /^no traffic: 3 of at least 50 requests/, turn: lab => void (lab.weather = { ...FAIR, requests: 3 }) },
  { name: 'metrics gone', reason: /^metrics gone: no sidecar has reported/, turn: lab => void (lab.weather = { ...FAIR, reports: false }) },
  { name: 'latencies gone', reason: /^metrics gone: no report tells latencies/, turn: lab => void (lab.weather = { ...FAIR, p99: null }) },
  { name: 'no instance left', reason: /^health: subset v2 has no instance/, turn: lab => void (lab.healthy = false) },
  {
    name: 'a sidecar that refuses the configuration',
    reason: /^proxies: web-sidecar-proxy refuses the configuration: no such cluster/,
    turn: lab =>
      void (lab.taken = { pending: ['web-sidecar-proxy'], refused: [{ proxy: 'web-sidecar-proxy', message: 'no such cluster' }] }),
  },
  {
    name: 'errors after the control plane was restarted',
    reason: /^errors: /,
    turn: lab => {
      lab.restart()
      lab.weather = { ...FAIR, successRate: 0.5 }
    },
  },
  {
    name: 'a restart after which no sidecar comes back',
    reason: /^metrics gone: no sidecar has reported within 2 s \(none since the control plane started\)/,
    turn: lab => {
      lab.restart()
      lab.weather = { ...FAIR, reports: false }
    },
  },
]

/** Both phases in which the old version is back, or on its way. */
const isBack = ({ Phase }: { readonly Phase: string }): boolean => Phase === 'RollingBack' || Phase === 'RolledBack'

describe('the sidecars', () => {
  const type = (typeUrl: string, at: number): AdsTypeStatus => ({
    typeUrl,
    wildcard: true,
    subscribed: 0,
    acked: new Map(),
    inFlight: false,
    lastNack: { at, code: 3, message: 'no such file', names: ['x'] },
  })
  const acceptance = (types: readonly AdsTypeStatus[]) => {
    const status = { nodeKey: 'edge', connected: true, synced: false, snapshotVersion: '9' }
    const publisher = {
      dependentsOf: () => ['edge'],
      // As the publisher has it of a proxy that has refused these types.
      acknowledgedIndex: (_: string, asked?: ReadonlySet<string>) => (types.some(({ typeUrl }) => asked?.has(typeUrl) !== false) ? 8 : 9),
    }
    const streams = [{ peer: '', protocol: 'delta' as const, openedAt: 0, admin: undefined, types }]
    return proxyAcceptance(publisher, { status: () => [{ ...status, streams }] as never })('api', 9, 1_000)
  }

  it.each([CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE])('that refuse what moved say so: %s', typeUrl => {
    expect(acceptance([type(typeUrl, 1_000)])).toEqual({ pending: ['edge'], refused: [{ proxy: 'edge', message: 'no such file' }] })
    expect(acceptance([type(typeUrl, 999)])).toEqual({ pending: ['edge'], refused: [] })
  })

  it('that refuse a secret again and again have taken what moved', () => {
    expect(acceptance([type(SECRET_TYPE, 2_000)])).toEqual({ pending: [], refused: [] })
    expect(acceptance([type(SECRET_TYPE, 2_000), type(CLUSTER_TYPE, 999)])).toEqual({ pending: ['edge'], refused: [] })
  })
})

it('a version without a healthy instance gets no more requests, and the status says so', async () => {
  const lab = await Lab.open({ ...CANARY, Analysis: undefined })
  await lab.act('start')
  await lab.run(1_000)
  lab.healthy = false
  await lab.run(60_000)
  expect(lab.status).toMatchObject({ Step: 0, Verdict: 'hold', VerdictReason: 'subset v2 has no instance that is not critical' })
  lab.healthy = true
  await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
})

describe('a canary that is good', () => {
  it('gets all requests, step by step', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    const seen: number[] = []
    await lab.runUntil(({ Phase, Weight }) => {
      if (seen.at(-1) !== Weight) seen.push(Weight)
      return Phase === 'Succeeded'
    })
    expect(seen).toEqual([0, 5, 50, 100])
    expect(lab.split).toEqual({ v1: 0, v2: 100 })
    expect(lab.events).toEqual(['start', 'step', 'step', 'step', 'finish', 'succeed'])
    expect(lab.ends).toEqual(['Succeeded'])
    expect(lab.entries.get('service-splitter', 'api')!.Meta).toEqual({ 'outrigger-rollout': 'canary' })
    expect(lab.problems).toEqual([])
  })

  it('stays at each step for as long as it says, counted from when the sidecars have it', async () => {
    const lab = await Lab.open()
    lab.taken = { pending: ['web-sidecar-proxy'], refused: [] }
    await lab.act('start')
    await lab.run(20_000)
    expect(lab.status).toMatchObject({ Phase: 'Stepping', Step: 0, AcceptedAt: 0 })
    lab.taken = { pending: [], refused: [] }
    const waited = await lab.runUntil(({ Step }) => Step === 1)
    expect(waited).toBeGreaterThanOrEqual(30_000)
    expect(waited).toBeLessThanOrEqual(30_000 + INTERVAL_MS)
  })

  it('without a last step of 100 % gets one, and is judged there too', async () => {
    const lab = await Lab.open({ ...CANARY, Steps: [{ Weight: 10 }] })
    await lab.act('start')
    await lab.runUntil(({ Weight }) => Weight === 100)
    lab.weather = { ...FAIR, successRate: 0 }
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
  })

  it('without analysis goes by time alone', async () => {
    const lab = await Lab.open({ ...CANARY, Analysis: undefined })
    lab.weather = { ...FAIR, successRate: 0, reports: false }
    await lab.act('start')
    expect(await lab.runUntil(({ Phase }) => Phase === 'Succeeded')).toBeLessThan(95_000)
  })
})

describe.each(WAYS)('a canary that turns bad by $name', ({ reason, turn }) => {
  it.each([0, 1, 2])('at step %i is rolled back within two intervals, with the reason', async step => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.runUntil(({ Step, Good }) => Step === step && Good > 0)
    turn(lab)
    expect(await lab.runUntil(isBack)).toBeLessThanOrEqual(TWO_INTERVALS_MS)
    expect(lab.status.Reason).toMatch(reason)
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
    lab.taken = { pending: [], refused: [] }
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    expect(lab.status.Reason).toMatch(reason)
    expect(lab.ends).toEqual(['RolledBack'])
  })

  it('while a gate waits is rolled back all the same', async () => {
    const lab = await Lab.open({ ...CANARY, Steps: [{ Weight: 20, Gate: 'manual' }] })
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Gated')
    turn(lab)
    expect(await lab.runUntil(isBack)).toBeLessThanOrEqual(TWO_INTERVALS_MS)
    expect(lab.status.Reason).toMatch(reason)
  })
})

it.each(WAYS)('a version that has been promoted for good stays, though it turns bad by $name', async ({ turn }) => {
  const lab = await Lab.open()
  await lab.act('start')
  await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
  turn(lab)
  await lab.run(600_000)
  expect([lab.phase, lab.split, lab.ends]).toEqual(['Succeeded', { v1: 0, v2: 100 }, ['Succeeded']])
})

describe('a canary of which little is known', () => {
  it('is held by one silent interval, and goes on when it is heard again', async () => {
    const lab = await Lab.open({ ...CANARY, Analysis: { ...CANARY.Analysis, HoldLimit: 3 } })
    await lab.act('start')
    await lab.runUntil(({ Good }) => Good > 0)
    lab.weather = { ...FAIR, requests: 0 }
    await lab.runUntil(({ Holds }) => Holds === 2)
    expect(lab.phase).toBe('Stepping')
    lab.weather = { ...FAIR }
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
    expect(lab.status.Audit.filter(({ Event }) => Event === 'analysis').map(({ Reason }) => Reason)).toEqual([
      expect.stringMatching(/^hold: no traffic/),
      expect.stringMatching(/^hold: no traffic/),
    ])
  })

  it('never goes to the next step on silence', async () => {
    const lab = await Lab.open({ ...CANARY, Analysis: { ...CANARY.Analysis, HoldLimit: 1_000 } })
    lab.weather = { ...FAIR, requests: 0 }
    await lab.act('start')
    await lab.run(300_000)
    expect(lab.status).toMatchObject({ Phase: 'Stepping', Step: 0 })
  })

  it('fails as often as it may before it is rolled back', async () => {
    const lab = await Lab.open({ ...CANARY, Analysis: { ...CANARY.Analysis, FailureLimit: 3 } })
    await lab.act('start')
    lab.weather = { ...FAIR, successRate: 0.5 }
    await lab.runUntil(({ Failures }) => Failures === 2)
    expect(lab.phase).toBe('Stepping')
    await lab.runUntil(isBack)
    expect(lab.status.Failures).toBe(3)
  })
})

describe('the sidecars', () => {
  it('that do not take a move in time have it rolled back', async () => {
    const lab = await Lab.open({ ...CANARY, AcceptTimeout: '15s' })
    lab.taken = { pending: ['a', 'b', 'c', 'd'], refused: [] }
    await lab.act('start')
    expect(await lab.runUntil(isBack)).toBeLessThanOrEqual(16_000)
    expect(lab.status.Reason).toBe('proxies: not taken within 15s by a, b, c and 1 more')
    // Nor do they take the way back: it does not wait for ever.
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack', 20_000)
    expect(lab.status.Reason).toContain('not yet taken by a, b, c')
  })
})

describe('a gate', () => {
  it('opens by promote alone', async () => {
    const lab = await Lab.open({ ...CANARY, Steps: [{ Weight: 20, Gate: 'manual' }, { Weight: 100 }] })
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Gated')
    await lab.run(600_000)
    expect(lab.status).toMatchObject({ Phase: 'Gated', Step: 0, Weight: 20 })
    await lab.act('promote', 'f3a1', 'looked at by hand')
    expect(lab.status).toMatchObject({ Phase: 'Stepping', Step: 1, Weight: 100 })
    expect(lab.status.Audit.at(-1)).toMatchObject({
      Event: 'step',
      From: 'Gated',
      By: 'f3a1',
      Reason: 'promote by token f3a1: looked at by hand',
    })
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
  })
})

describe('abort', () => {
  const PHASES = ['Stepping', 'Gated', 'Paused', 'Mirroring'] as const

  it.each(PHASES)('from %s brings everything back at once', async phase => {
    const lab = await Lab.open({ ...CANARY, Mirror: { Percent: 10, Duration: '30s' }, Steps: [{ Weight: 20, Gate: 'manual' }] })
    await lab.act('start')
    if (phase === 'Paused') {
      await lab.runUntil(({ Phase }) => Phase === 'Stepping')
      await lab.act('pause')
    } else await lab.runUntil(({ Phase }) => Phase === phase)
    await lab.act('abort', '', 'customers complain')
    expect(lab.split).toEqual({ v1: 100, v2: 0 })
    expect(lab.status).toMatchObject({ Phase: 'RollingBack', MirrorPercent: 0, Reason: 'abort by an operator: customers complain' })
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
  })

  it('waits for no webhook that hangs', async () => {
    const lab = await Lab.open({ ...CANARY, Webhooks: [{ Name: 'ask', When: 'before', URL: 'http://127.0.0.1:1/' }] })
    lab.calls = {
      ...lab.calls,
      notify: (_webhook, _notice, _id, signal) =>
        new Promise(resolve => signal.addEventListener('abort', () => resolve('webhook "ask": cancelled'), { once: true })),
    }
    await lab.act('start')
    await lab.run(60_000)
    expect(lab.phase).toBe('Starting')
    await lab.act('abort')
    expect(lab.phase).toBe('RolledBack')
    expect(lab.split).toEqual({})
    expect(lab.moves).toBe(0)
  })
})

describe('pause', () => {
  it('keeps the step until resume, and its time does not count', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.runUntil(({ Good }) => Good === 1)
    await lab.act('pause')
    await lab.run(300_000)
    expect(lab.status).toMatchObject({ Phase: 'Paused', Step: 0 })
    await lab.act('resume')
    await lab.run(10_000)
    expect(lab.status).toMatchObject({ Phase: 'Stepping', Step: 0 })
    await lab.runUntil(({ Step }) => Step === 1)
  })

  it('is ended by a canary that turns bad, not by silence', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.runUntil(({ Good }) => Good === 1)
    await lab.act('pause')
    lab.weather = { ...FAIR, requests: 0 }
    await lab.run(300_000)
    expect(lab.phase).toBe('Paused')
    lab.weather = { ...FAIR, successRate: 0.1 }
    expect(await lab.runUntil(isBack)).toBeLessThanOrEqual(TWO_INTERVALS_MS)
  })
})

describe('another writer', () => {
  const FOREIGN = {
    Kind: 'service-splitter',
    Name: 'api',
    Splits: [
      { Weight: 60, ServiceSubset: 'v1' },
      { Weight: 40, ServiceSubset: 'v3' },
    ],
  }

  it('of the splitter stops the rollout, which writes nothing more', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.runUntil(({ Step }) => Step === 1)
    await lab.entry(FOREIGN)
    const { ModifyIndex } = lab.entries.get('service-splitter', 'api')!
    await lab.run(1_000)
    expect(lab.phase).toBe('Conflicted')
    expect(lab.status.Reason).toMatch(
      /^service-splitter api was written by another at index \d+ \(the rollout's was \d+\): v1 60 %, v3 40 %$/,
    )
    await lab.run(300_000)
    expect(lab.entries.get('service-splitter', 'api')!.ModifyIndex).toBe(ModifyIndex)
    expect(lab.ends).toEqual(['Conflicted'])
  })

  it('is not written over by an abort either', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.run(1_000)
    await lab.entry(FOREIGN)
    await lab.act('abort')
    expect(lab.phase).toBe('Conflicted')
    expect(lab.split).toEqual({ v1: 60, v3: 40 })
  })

  it('that forbids the way back ends in a conflict, also where it is an operator who aborts and another replica has the task', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.run(1_000)
    // Past the check of writes, as a server of another version might do it.
    const resolver = { Kind: 'service-resolver', Name: 'api', Subsets: { v2: {} } }
    await lab.store.exclusive(async turn => void (await turn.transaction([put('config-entry', 'service-resolver/api', resolver)])))
    await lab.engine.stop()
    await lab.act('abort', 'a-token')
    expect(lab.status).toMatchObject({ Phase: 'Conflicted', Reason: expect.stringContaining('does not have a subset named "v1"') })
    expect(lab.status.Audit.at(-1)).toMatchObject({ Event: 'conflict', By: 'a-token' })
  })

  it('that deletes the splitter is one as well', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.run(1_000)
    expect(await lab.entries.delete('service-splitter', 'api')).toEqual({ ok: true })
    await lab.run(1_000)
    expect(lab.status).toMatchObject({ Phase: 'Conflicted', Reason: 'service-splitter api was deleted by another writer' })
  })

  it('who writes other entries is none of its business', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.run(1_000)
    await lab.entry({ Kind: 'service-defaults', Name: 'api', Protocol: 'http', Meta: { team: 'blue' } })
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
  })
})

describe('a start is refused', () => {
  const refused = async (lab: Lab): Promise<string> => {
    const reason = await lab.act('start').then(
      () => 'it was started',
      (error: Error) => error.message,
    )
    expect(lab.phase).toBe('Ready')
    expect(lab.moves).toBe(0)
    return reason
  }

  it('where the splitter sends requests elsewhere', async () => {
    const lab = await Lab.open()
    await lab.entry({
      Kind: 'service-splitter',
      Name: 'api',
      Splits: [
        { Weight: 70, ServiceSubset: 'v1' },
        { Weight: 30, ServiceSubset: 'v3' },
      ],
    })
    expect(await refused(lab)).toBe('service-splitter api sends 30 % to v3: a rollout begins where all requests go to v1')
  })

  it('where a router is in the place of the cohorts', async () => {
    const lab = await Lab.open({ ...CANARY, Cohorts: [{ Header: 'x-beta', Present: true }] })
    await lab.entry({ Kind: 'service-router', Name: 'api', Routes: [{ Match: { HTTP: { PathPrefix: '/a' } } }] })
    expect(await refused(lab)).toBe("service-router api is there already, and cohorts need one of the rollout's own")
  })

  it('where a subset is not there', async () => {
    const lab = await Lab.open({ ...CANARY, To: 'v9' })
    expect(await refused(lab)).toContain('does not have a subset named "v9"')
  })

  it('for a service that is not HTTP', async () => {
    const lab = await Lab.open()
    await lab.entry({ Kind: 'service-defaults', Name: 'api', Protocol: 'tcp' })
    expect(await refused(lab)).toContain('protocol "tcp" that does not permit advanced routing')
  })

  it('where the new version is not there yet', async () => {
    const lab = await Lab.open()
    lab.healthy = false
    expect(await refused(lab)).toBe('subset v2 of api has no instance that is not critical')
  })

  it('while another rollout moves the same service', async () => {
    const lab = await Lab.open()
    await lab.write({ ...CANARY, To: 'v3' }, 'other')
    await lab.engine.act('other', 'start', '')
    expect(await refused(lab)).toBe('rollout other moves service api already')
  })

  it('while another one is started at the same moment', async () => {
    const lab = await Lab.open()
    await lab.write({ ...CANARY, To: 'v3' }, 'other')
    const started = lab.engine.act('other', 'start', '')
    expect(await refused(lab)).toBe('rollout other moves service api already')
    await started
  })

  it('and of what nobody knows', async () => {
    const lab = await Lab.open()
    await expect(lab.engine.act('nobody', 'start', '')).rejects.toThrow('there is no rollout "nobody"')
  })
})

describe('a running rollout', () => {
  it('is neither changed nor deleted', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await expect(lab.write({ ...CANARY, To: 'v3' })).rejects.toThrow('rollout canary is Starting and cannot be changed: abort it first')
    await expect(lab.engine.delete('canary')).rejects.toThrow('cannot be deleted')
    await expect(lab.write(CANARY)).resolves.toEqual([])
  })

  it('takes over a splitter that is at the old version, and keeps what else it says', async () => {
    const lab = await Lab.open()
    const header = { Set: { 'x-version': 'one' } }
    await lab.entry({
      Kind: 'service-splitter',
      Name: 'api',
      Meta: { team: 'blue' },
      Splits: [
        { Weight: 100, ServiceSubset: 'v1', ResponseHeaders: header },
        { Weight: 0, ServiceSubset: 'v3' },
      ],
    })
    await lab.act('start')
    await lab.runUntil(({ Step }) => Step === 1)
    expect(lab.entries.get('service-splitter', 'api')).toMatchObject({
      Meta: { team: 'blue', 'outrigger-rollout': 'canary' },
      Splits: [
        { Weight: 50, ServiceSubset: 'v1', ResponseHeaders: header },
        { Weight: 0, ServiceSubset: 'v3' },
        { Weight: 50, ServiceSubset: 'v2' },
      ],
    })
  })

  it('keeps a bounded audit trail', async () => {
    const lab = await Lab.open({ ...CANARY, Analysis: { ...CANARY.Analysis, HoldLimit: 1_000 } })
    lab.weather = { ...FAIR, requests: 0 }
    await lab.act('start')
    await lab.run(INTERVAL_MS * (MAX_AUDIT_RECORDS + 20))
    expect(lab.status.Audit).toHaveLength(MAX_AUDIT_RECORDS)
  })
})

describe('a rollout that has ended', () => {
  it('can be started again, from the old version', async () => {
    const lab = await Lab.open()
    await lab.act('start')
    await lab.run(1_000)
    await lab.act('abort')
    await lab.runUntil(({ Phase }) => Phase === 'RolledBack')
    await lab.act('start')
    await lab.runUntil(({ Phase }) => Phase === 'Succeeded')
    await expect(lab.act('start')).rejects.toThrow('service-splitter api sends 100 % to v2')
  })
})

it('what was found of a step counts for no other one, where another replica has moved the rollout meanwhile', async () => {
  const lab = await Lab.open()
  await lab.act('start')
  await lab.runUntil(({ AcceptedAt }) => AcceptedAt > 0)
  const { store, entries, table, clock } = lab
  const writer = new RolloutWriter({ store, entries, table, clock, onMove: () => {} })
  const record = table.get('canary')!
  await lab.act('promote')
  const promoted = lab.status
  expect(promoted.Step).toBe(record.status.Step + 1)
  expect(await writer.note(record, { AcceptedAt: 1, Verdict: 'good' }, undefined)).toBeUndefined()
  expect(lab.status).toEqual(promoted)
})

it('who has lost the task moves nothing by itself, and an operator still may ask it', async () => {
  const lab = await Lab.open()
  await lab.act('start')
  await lab.runUntil(({ AcceptedAt }) => AcceptedAt > 0)
  const { store, entries, table, clock } = lab
  const writer = new RolloutWriter({ store, entries, table, clock, onMove: () => {} })
  const lost = new AbortController()
  lost.abort()
  const lease = { task: 'rollouts', signal: lost.signal }
  const before = lab.status
  const record = table.get('canary')!
  const pause = { event: 'pause', to: 'Paused', reason: 'x' } as const
  await expect(writer.apply(record, pause, lease)).rejects.toThrow(LeaseLost)
  await expect(writer.note(record, { Verdict: 'good' }, lease)).rejects.toThrow(LeaseLost)
  expect(lab.status).toEqual(before)
  await lab.engine.stop()
  await lab.act('abort')
  expect(lab.phase).toBe('RollingBack')
  expect(lab.problems).toEqual([])
})

it('a control plane that is killed after any write goes on where it was', async () => {
  const rollout = { ...CANARY, Mirror: { Percent: 5, Duration: '20s' }, Cohorts: [{ Cookie: 'beta', Exact: '1' }] }
  const whole = await Lab.open(rollout)
  await whole.act('start')
  await whole.runUntil(({ Phase }) => Phase === 'Succeeded')

  const lab = await Lab.open(rollout)
  await lab.act('start')
  for (let index = 0; lab.phase !== 'Succeeded'; ) {
    // A sidecar reports again soon after.
    if (lab.store.index !== index) lab.restart()
    index = lab.store.index
    await lab.runUntil(({ Phase }) => lab.store.index !== index || Phase === 'Succeeded')
  }
  expect(lab.events).toEqual(whole.events)
  expect(lab.split).toEqual(whole.split)
})
