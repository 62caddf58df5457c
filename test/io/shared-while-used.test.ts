import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { SharedWhileUsed } from '../../src/io/shared-while-used.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function collected(done: () => boolean, rounds = 50): Promise<void> {
  for (let i = 0; i < rounds && !done(); i++) {
    collect()
    await new Promise(resolve => setImmediate(resolve))
  }
}

describe('SharedWhileUsed', () => {
  it('gives the same value to all who ask, while somebody holds it', async () => {
    const shared = new SharedWhileUsed<{ readonly name: string }>()
    const held = { name: 'a' }
    shared.put('a', held, () => {})
    await collected(() => shared.get('a') === undefined, 5)
    expect(shared.get('a')).toBe(held)
  })

  it('forgets what nobody holds, and says so', async () => {
    const shared = new SharedWhileUsed<object>()
    const ended: string[] = []
    for (let i = 0; i < 100; i++) shared.put(`name ${i}`, { i }, () => ended.push(`name ${i}`))
    await collected(() => ended.length === 100)
    expect([ended.length, shared.values()]).toEqual([100, []])
  })
})
