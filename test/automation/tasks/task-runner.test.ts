// Runs of one task on a clock moved by hand: by a change, by hand, dry; never two at one time, and none behind stop().
import { expect, it } from 'vitest'
import type { WatchHub } from '../../../src/automation/answers/watch-hub.js'
import type { TaskConfig } from '../../../src/automation/config/sync-config.js'
import type { Applied } from '../../../src/automation/drivers/driver.js'
import type { AppliedRecord } from '../../../src/automation/tasks/sync-state.js'
import { TaskRunner } from '../../../src/automation/tasks/task-runner.js'
import { ManualClock } from '../../support/manual-clock.js'

const DONE: Applied = { changed: true, summary: 'done', output: '' }

interface Apply {
  readonly content: string
  readonly signal: AbortSignal
  readonly id: string
  end(): void
  fail(message: string): void
}

/** A task that renders `world.value`, which is undefined until it is known. */
function taskOf({ kind = 'template', failsAudit = false }: { kind?: 'template' | 'webhook'; failsAudit?: boolean } = {}) {
  const clock = new ManualClock(0)
  const world = { value: undefined as string | undefined, applied: undefined as AppliedRecord | undefined, held: 0 }
  const applies: Apply[] = []
  let running = 0
  const most = { running: 0 }
  const busy = async <T>(work: Promise<T>): Promise<T> => {
    most.running = Math.max(most.running, ++running)
    try {
      return await work
    } finally {
      running--
    }
  }
  const hub = {
    answers: () => ({ asked: new Set(['/v1/kv/x']), missing: new Set(world.value === undefined ? ['/v1/kv/x'] : []) }),
    hold: (_: unknown, paths: ReadonlySet<string>) => {
      world.held = paths.size
      return ''
    },
    problems: () => [],
  } as unknown as WatchHub
  const apply = (content: string, signal: AbortSignal, id: string): Promise<Applied> =>
    busy(
      new Promise((resolve, reject) => {
        applies.push({ content, signal, id, end: () => resolve(DONE), fail: message => reject(new Error(message)) })
      }),
    )
  const runner = new TaskRunner(
    { name: 't', buffer: null, condition: null, inputs: [], driver: { kind } } as unknown as TaskConfig,
    {
      prepare: () => {
        const content = world.value ?? ''
        const preview = (): Promise<{ changes: boolean; plan: string }> => busy(Promise.resolve({ changes: true, plan: content }))
        return { content, preview, apply: ({ signal, idempotencyKey }) => apply(content, signal, idempotencyKey) }
      },
    },
    {
      hub,
      clock,
      random: () => 0,
      place: run => run(),
      onRun: () => {
        if (failsAudit) throw new Error('no space left')
      },
      applied: () => world.applied,
      setApplied: applied => {
        world.applied = applied
      },
    },
  )
  return { clock, world, applies, most, runner }
}

it('a run by hand waits for the one that a change has begun meanwhile', async () => {
  const { clock, world, applies, most, runner } = taskOf()
  runner.start()
  const byHand = runner.runNow('api')
  world.value = 'x'
  runner.onChange()
  await clock.settle(1_000)
  expect(applies).toHaveLength(1)
  applies[0]!.end()
  await clock.settle(1_000)
  applies[1]!.end()
  expect(await byHand).toMatchObject({ success: true, trigger: 'api' })
  expect(most.running).toBe(1)
})

it('a dry run waits for a run, and a run for it', async () => {
  const { clock, world, applies, most, runner } = taskOf()
  world.value = 'x'
  runner.start()
  const dry = runner.inspect()
  await clock.settle(0)
  expect(most.running).toBe(1)
  applies[0]!.end()
  expect(await dry).toEqual({ changes: true, plan: 'x' })
  expect(most.running).toBe(1)
})

it('stop ends what was asked by hand of a task that is off, and waits for its end', async () => {
  const { clock, world, applies, runner } = taskOf()
  world.value = 'x'
  const byHand = runner.runNow('api')
  await clock.settle(0)
  let isStopped = false
  const stopped = runner.stop().then(() => {
    isStopped = true
  })
  await clock.settle(0)
  expect([applies[0]!.signal.aborted, isStopped]).toEqual([true, false])
  applies[0]!.fail('was stopped')
  expect(await byHand).toMatchObject({ success: false, attempts: 1 })
  await stopped
})

it('what waits for answers when it is stopped does not run any more', async () => {
  const { clock, world, applies, runner } = taskOf()
  const byHand = expect(runner.runNow('api')).rejects.toThrow('was stopped before anything changed')
  await runner.stop()
  world.value = 'x'
  await clock.settle(1_000)
  await byHand
  expect(applies).toEqual([])
})

it('follows its inputs when it was turned off and on during a run', async () => {
  const { clock, world, applies, runner } = taskOf()
  world.value = 'x'
  runner.start()
  const stopped = runner.stop()
  runner.start()
  applies[0]!.end()
  await clock.settle(0)
  applies[1]!.end()
  await stopped
  expect(world.held).toBe(1)
})

it('a change that is none costs a run that has failed no attempt', async () => {
  const { clock, world, applies, runner } = taskOf()
  world.value = 'x'
  runner.start()
  applies[0]!.fail('for a moment')
  runner.onChange()
  await clock.settle(1_000)
  await clock.settle(1_000)
  expect(applies).toHaveLength(2)
  applies[1]!.end()
  await clock.settle(0)
  expect(runner.status).toBe('successful')
})

it('an audit that cannot be written keeps nobody waiting', async () => {
  const { world, applies, runner } = taskOf({ failsAudit: true })
  world.value = 'x'
  const byHand = expect(runner.runNow('api')).rejects.toThrow('no space left')
  await new Promise(resolve => setImmediate(resolve))
  applies[0]!.end()
  await byHand
  await runner.stop()
})

it('what a task that is off has asked in vain is not followed', async () => {
  const { clock, world, runner } = taskOf()
  const failed = expect(runner.inspect()).rejects.toThrow('is not ready: waits for /v1/kv/x')
  for (let i = 0; i < 110; i++) await clock.settle(100)
  await failed
  expect(world.held).toBe(0)
})

it('a webhook is told when it is turned on with what it had been told before the last', async () => {
  const { clock, world, applies, runner } = taskOf({ kind: 'webhook' })
  const turnOnWith = async (value: string): Promise<void> => {
    world.value = value
    runner.start()
    await clock.settle(0)
    applies.at(-1)!.end()
    await clock.settle(0)
    await runner.stop()
  }
  await turnOnWith('a')
  await turnOnWith('b')
  await turnOnWith('a')
  await turnOnWith('a')
  expect(applies.map(({ content }) => content)).toEqual(['a', 'b', 'a'])
})

it('what comes back is told under another id, and what is tried again under the same', async () => {
  const { clock, world, applies, runner } = taskOf({ kind: 'webhook' })
  runner.start()
  for (const value of ['a', 'b', 'a']) {
    world.value = value
    runner.onChange()
    await clock.settle(0)
    applies.at(-1)!.fail('the answer was lost')
    await clock.settle(1_000)
    await clock.settle(1_000)
    applies.at(-1)!.end()
    await clock.settle(0)
  }
  const ids = applies.map(({ id }) => id)
  expect([ids[1], ids[3], ids[5]]).toEqual([ids[0], ids[2], ids[4]])
  expect(new Set(ids).size).toBe(3)
  await runner.stop()
})

it('what has run by hand runs no second time when it is turned on', async () => {
  const { clock, world, applies, runner } = taskOf()
  world.value = 'a'
  const byHand = runner.runNow('api')
  await clock.settle(0)
  applies[0]!.end()
  await byHand
  runner.start(true)
  await clock.settle(1_000)
  expect(applies).toHaveLength(1)
  world.value = 'b'
  runner.onChange()
  await clock.settle(0)
  applies[1]!.end()
  await clock.settle(0)
  expect(runner.events[0]!.trigger).toBe('template')
})
