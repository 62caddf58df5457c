// Writers, readers and swappers on several replicas of one store, and what they saw, for tests that break something meanwhile: is there one order of
// it all in which every acknowledged write took effect, and did all replicas see the same commits? Used by the fault tests of the etcd store.
import { expect } from 'vitest'
import { put, type Store } from '../../src/control/store/store.js'
import { isLinearizable, type Operation, type Value } from './linearizable.js'
import { until } from './proxy-process.js'

const KEYS = ['a', 'b', 'c']
const CLIENTS = 6
const NEVER = Number.POSITIVE_INFINITY
const PAUSE_MS = 5
/** Above it the search for an order may take too long. */
const MAX_OPERATIONS_OF_A_KEY = 3_000
/** Below it a history says little; a machine under load takes longer to have so many. */
const MIN_OPERATIONS_OF_A_KEY = 21

export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

export class StoreLoad {
  private readonly histories = new Map(KEYS.map(key => [key, [] as Operation[]]))
  /** What each replica told of, in its order. */
  private readonly commits: readonly string[][]
  private running: Promise<unknown> = Promise.resolve()
  private stopped = false

  constructor(private readonly stores: readonly Store[]) {
    this.commits = stores.map(() => [])
    stores.forEach((store, i) => {
      store.subscribe(['kv'], ({ index, changes }) => {
        this.commits[i]!.push(`${index} ${changes.map(({ key, record }) => `${key}=${String(record?.value)}`).join()}`)
      })
    })
  }

  begin(): void {
    this.running = Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.client(i)))
  }

  get hasSeenEnough(): boolean {
    return [...this.histories.values()].every(({ length }) => length >= MIN_OPERATIONS_OF_A_KEY)
  }

  async end(): Promise<void> {
    this.stopped = true
    await this.running
  }

  async expectConsistent(): Promise<void> {
    const { stores, commits, histories } = this
    await until('all replicas are back', async () => {
      await Promise.all(stores.map(store => store.catchUp()))
      return true
    })
    const [first, ...others] = await Promise.all(stores.map(store => store.list('kv')))
    for (const other of others) expect(other).toEqual(first)
    for (const seen of commits) {
      const indexes = seen.map(line => Number(line.split(' ')[0]))
      expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b))
      expect(indexes.at(-1)).toBe(stores[0]!.index)
    }
    // Where two tell of one index, they tell the same.
    const byIndex = new Map(commits[0]!.map(line => [line.split(' ')[0], line]))
    for (const line of commits.slice(1).flat()) {
      const other = byIndex.get(line.split(' ')[0])
      if (other !== undefined && !line.includes(',') && !other.includes(',')) expect(line).toBe(other)
    }
    for (const [key, history] of histories) {
      expect(history.length, `operations of ${key}`).toBeGreaterThanOrEqual(MIN_OPERATIONS_OF_A_KEY)
      expect(isLinearizable(history), `${key}: ${JSON.stringify(history.slice(-60))}`).toBe(true)
    }
  }

  private async client(number: number): Promise<void> {
    const roll = seededRandom(17 + number)
    for (let n = 0; !this.stopped; n++) {
      await this.act(number, n, roll).catch(() => {})
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }

  private async act(client: number, n: number, roll: () => number): Promise<void> {
    const store = this.stores[client % this.stores.length]!
    const key = KEYS[Math.floor(roll() * KEYS.length)]!
    const history = this.histories.get(key)!
    if (history.length >= MAX_OPERATIONS_OF_A_KEY) return
    const value = `${client}-${n}`
    const begin = performance.now()
    const kind = roll()
    if (kind < 0.4) {
      await store.catchUp()
      const saw = ((await store.get('kv', key))?.value as string | undefined) ?? null
      history.push({ kind: 'read', saw, begin, end: performance.now() })
      return
    }
    const record = await store.get('kv', key)
    const expected: Value = (record?.value as string | undefined) ?? null
    const compares = kind < 0.7 ? [] : [{ collection: 'kv', key, modifyIndex: record?.modifyIndex ?? 0 } as const]
    const done = (end: number, swapped: boolean | undefined): void => {
      if (compares.length === 0) history.push({ kind: 'write', value, begin, end })
      else history.push({ kind: 'swap', expected, value, swapped, begin, end })
    }
    try {
      // Now and then one that is laid down in parts.
      const others = roll() < 0.02 ? Array.from({ length: 130 }, (_, i) => put('service', `other-${i}`, value)) : []
      const { ok } = await store.transaction([put('kv', key, value), ...others], compares)
      done(performance.now(), ok)
    } catch (error) {
      // What was not written for certain has not happened.
      if (!(error as Error).message.includes('nothing was written')) done(NEVER, undefined)
    }
  }
}
