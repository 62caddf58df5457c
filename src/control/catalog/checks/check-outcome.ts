// What one run of a check says. Made by the files beside this one, one a kind of check; counted and reported by health-checks.ts.
// A run that fails may reject: its message is the output of a critical check.
import type { CheckDefinition, HealthStatus } from '../check-definition.js'

export interface CheckOutcome {
  readonly status: HealthStatus
  readonly output: string
}

/** `signal` aborts when the check's time is over, or the check is gone. */
export type CheckRunner = (check: CheckDefinition, signal: AbortSignal) => Promise<CheckOutcome>

export const passing = (output: string): CheckOutcome => ({ status: 'passing', output })

/** `host:port`, an IPv6 host in brackets; no host: this machine. */
export function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, '') || '127.0.0.1', port: Number(text.slice(colon + 1)) }
}
