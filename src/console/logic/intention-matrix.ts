// Who may call whom, as a matrix: for each pair of services of this mesh the intention that decides it, by Consul's order of precedence. Pure; the words
// for why come from the server (`/v1/outrigger/explain`), which compiles what the sidecars enforce.
import type { IntentionShape } from '../api/answers.js'

export interface Decision {
  readonly verdict: 'allow' | 'deny' | 'by-request'
  /** Absent: the default policy. */
  readonly intention?: IntentionShape
  /** It names both services, without a `*`. */
  readonly exact: boolean
  /** The intention that names both, where it is only counted and logged. */
  readonly shadow?: IntentionShape
}

/** Whether the control plane leaves it out of what is enforced (docs/command-line.md). */
export function isInShadow({ SourceName, Meta }: IntentionShape): boolean {
  const shadow = Meta?.['outrigger-shadow']
  return shadow !== undefined && (shadow === 'true' || shadow.split(',').some(name => name.trim() === SourceName))
}

/** Intentions by the pair that they name; `*` for any. */
export class IntentionMatrix {
  private readonly named = new Map<string, IntentionShape>()
  private readonly fallback: 'allow' | 'deny'

  constructor(intentions: readonly IntentionShape[], defaultPolicy: 'allow' | 'deny') {
    this.fallback = defaultPolicy
    for (const intention of intentions)
      if (intention.SourcePeer === undefined) this.named.set(keyOf(intention.SourceName, intention.DestinationName), intention)
  }

  /** Precedence 9: exact; 8: any source, one destination; 6: one source, any destination; 5: any to any. */
  decide(source: string, destination: string): Decision {
    const own = this.named.get(keyOf(source, destination))
    const shadow = own !== undefined && isInShadow(own) ? { shadow: own } : {}
    for (const [from, to] of [
      [source, destination],
      ['*', destination],
      [source, '*'],
      ['*', '*'],
    ] as const) {
      const intention = this.named.get(keyOf(from, to))
      if (intention === undefined || isInShadow(intention)) continue
      const verdict = (intention.Permissions?.length ?? 0) > 0 ? 'by-request' : (intention.Action ?? 'deny')
      return { verdict, intention, exact: from === source && to === destination, ...shadow }
    }
    return { verdict: this.fallback, exact: false, ...shadow }
  }
}

const keyOf = (source: string, destination: string): string => JSON.stringify([source, destination])

/** The next cell of the matrix for a key, undefined for a key that moves nothing. */
export function movedCell(key: string, row: number, column: number, rows: number, columns: number): readonly [number, number] | undefined {
  const clamp = (value: number, size: number): number => Math.max(0, Math.min(size - 1, value))
  switch (key) {
    case 'ArrowUp':
      return [clamp(row - 1, rows), column]
    case 'ArrowDown':
      return [clamp(row + 1, rows), column]
    case 'ArrowLeft':
      return [row, clamp(column - 1, columns)]
    case 'ArrowRight':
      return [row, clamp(column + 1, columns)]
    case 'Home':
      return [row, 0]
    case 'End':
      return [row, columns - 1]
    default:
      return undefined
  }
}
