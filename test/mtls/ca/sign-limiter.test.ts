import { describe, expect, it } from 'vitest'
import { SignLimiter } from '../../../src/mtls/ca/sign-limiter.js'
import { ManualClock } from '../../support/manual-clock.js'

/** A piece of work that ends when told. */
function task() {
  let end: () => void = () => {}
  const done = new Promise<void>(resolve => {
    end = resolve
  })
  return { done, end }
}

const settle = () => new Promise(resolve => setImmediate(resolve))

describe('SignLimiter by concurrency', () => {
  const limits = { csrMaxPerSecond: 0, csrMaxConcurrent: 2 }

  it('runs so many at once, passes a slot on in order, and refuses who waited 500 ms', async () => {
    const clock = new ManualClock()
    const limiter = new SignLimiter(clock)
    const started: number[] = []
    const tasks = [task(), task(), task(), task()]
    const runs = tasks.map((one, index) =>
      limiter.run(limits, 500, () => {
        started.push(index)
        return one.done
      }),
    )
    const fourth = expect(runs[3]).rejects.toMatchObject({ code: 'rate-limited' })
    await settle()
    expect(started).toEqual([0, 1])
    tasks[1]!.end()
    await settle()
    expect(started).toEqual([0, 1, 2])
    await clock.settle(500)
    await fourth
    tasks[0]!.end()
    tasks[2]!.end()
    await Promise.all(runs.slice(0, 3))
    // All slots are free again.
    await Promise.all([limiter.run(limits, 0, () => 1), limiter.run(limits, 0, () => 2)])
    expect(started).toEqual([0, 1, 2])
  })

  it('gives a slot back when the work fails', async () => {
    const limiter = new SignLimiter(new ManualClock())
    for (let i = 0; i < 5; i++) {
      await expect(
        limiter.run({ csrMaxPerSecond: 0, csrMaxConcurrent: 1 }, 0, () => {
          throw new Error('no')
        }),
      ).rejects.toThrow('no')
    }
  })

  it('has no limit when both are 0', async () => {
    const limiter = new SignLimiter(new ManualClock())
    const tasks = Array.from({ length: 100 }, task)
    let running = 0
    const runs = tasks.map(one =>
      limiter.run({ csrMaxPerSecond: 0, csrMaxConcurrent: 0 }, 0, () => {
        running++
        return one.done
      }),
    )
    expect(running).toBe(100)
    for (const one of tasks) one.end()
    await Promise.all(runs)
  })
})
