import { describe, expect, it } from 'vitest'
import { IntentionMatrix, movedCell } from '../../../src/console/logic/intention-matrix.js'
import { parseConfigEntry } from '../../../src/control/config-entries/parse-config-entry.js'
import type { ServiceIntentions } from '../../../src/control/config-entries/types.js'
import { decide } from '../../../src/control/intentions/decide.js'
import { flattenEntry } from '../../../src/control/intentions/match.js'

const shape = (SourceName: string, DestinationName: string, Action: 'allow' | 'deny') => ({
  SourceName,
  DestinationName,
  Action,
  Precedence: 0,
})

describe('the matrix of intentions', () => {
  it('leaves out what is in shadow, and says so of the pair', () => {
    const Meta = { 'outrigger-shadow': 'batch, cron' }
    const batch = { ...shape('batch', 'api', 'deny'), Meta }
    const matrix = new IntentionMatrix([batch, { ...shape('web', 'api', 'deny'), Meta }, { ...shape('*', 'api', 'allow'), Meta }], 'deny')
    expect(matrix.decide('batch', 'api')).toMatchObject({ verdict: 'allow', exact: false, shadow: batch })
    expect(matrix.decide('web', 'api')).toMatchObject({ verdict: 'deny', exact: true })
    expect(matrix.decide('web', 'api')).not.toHaveProperty('shadow')
    const all = new IntentionMatrix([{ ...shape('*', 'api', 'allow'), Meta: { 'outrigger-shadow': 'true' } }], 'deny')
    expect(all.decide('web', 'api')).toMatchObject({ verdict: 'deny', exact: false })
  })

  it('decides every pair as the control plane does, whatever intentions there are', () => {
    const names = ['*', 'web', 'api']
    const actions = [undefined, 'allow', 'deny'] as const
    // Each pair of names with each action: 3^9 sets would be many, so some of them: each takes its actions from the digits of a number.
    for (let set = 0; set < 3 ** 9; set += 409) {
      const pairs = names.flatMap((source, s) =>
        names.map((destination, d) => ({ source, destination, action: actions[Math.floor(set / 3 ** (s * 3 + d)) % 3] })),
      )
      const written = pairs.filter(pair => pair.action !== undefined)
      const matrix = new IntentionMatrix(
        written.map(({ source, destination, action }) => shape(source, destination, action!)),
        'deny',
      )
      for (const source of ['web', 'api', 'other']) {
        for (const destination of ['web', 'api', 'other']) {
          const intentions = [destination, '*'].flatMap(name => {
            const Sources = written.filter(pair => pair.destination === name).map(pair => ({ Name: pair.source, Action: pair.action }))
            if (Sources.length === 0) return []
            const parsed = parseConfigEntry({ Kind: 'service-intentions', Name: name, Sources })
            if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors))
            return flattenEntry(parsed.entry as ServiceIntentions)
          })
          const { allowed } = decide(intentions, { source: { service: source } }, { defaultAction: 'deny', http: true })
          expect({ set, source, destination, verdict: matrix.decide(source, destination).verdict }).toEqual({
            set,
            source,
            destination,
            verdict: allowed ? 'allow' : 'deny',
          })
        }
      }
    }
  })

  it('says that permissions decide by request, and which intention is the own one of a pair', () => {
    const byPath = { SourceName: 'web', DestinationName: 'api', Permissions: [{}], Precedence: 9 }
    const matrix = new IntentionMatrix([byPath, shape('*', 'api', 'deny')], 'allow')
    expect(matrix.decide('web', 'api')).toEqual({ verdict: 'by-request', intention: byPath, exact: true })
    expect(matrix.decide('batch', 'api')).toMatchObject({ verdict: 'deny', exact: false })
    expect(matrix.decide('batch', 'web')).toEqual({ verdict: 'allow', exact: false })
  })

  it('is about services of this mesh: what is said of a service of a peer with the same name decides no pair', () => {
    const ofPeer = { ...shape('web', 'api', 'deny'), SourcePeer: 'east' }
    for (const intentions of [
      [ofPeer, shape('web', 'api', 'allow')],
      [shape('web', 'api', 'allow'), ofPeer],
    ])
      expect(new IntentionMatrix(intentions, 'deny').decide('web', 'api').verdict).toBe('allow')
    expect(new IntentionMatrix([ofPeer], 'allow').decide('web', 'api')).toEqual({ verdict: 'allow', exact: false })
  })

  it('is walked by the arrow keys and does not leave its edges', () => {
    expect(movedCell('ArrowDown', 0, 0, 3, 4)).toEqual([1, 0])
    expect(movedCell('ArrowUp', 0, 2, 3, 4)).toEqual([0, 2])
    expect(movedCell('ArrowRight', 1, 3, 3, 4)).toEqual([1, 3])
    expect(movedCell('End', 1, 0, 3, 4)).toEqual([1, 3])
    expect(movedCell('Home', 1, 2, 3, 4)).toEqual([1, 0])
    expect(movedCell('Enter', 1, 2, 3, 4)).toBeUndefined()
  })
})
