// Counts and logs refused peers: Envoy's counter, ours by reason, one log line. Called by both TLS contexts, on failing paths alone.
// Invariant: a flood of bad peers costs counters; log lines are bounded per second and the rest are summed up in the next one.

import type { Counter } from '../../metrics/stat.js'
import type { TlsStats } from '../../metrics/stat-names.js'
import type { Refusal } from '../peer/peer-verification.js'

/** Refusals logged per second, over all contexts. */
export const MAX_REFUSAL_LINES_PER_SECOND = 20

export type TlsLog = (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void

export class TlsRefusals {
  private readonly log: TlsLog
  private second = 0
  private lines = 0
  private unlogged = 0

  constructor(log: TlsLog) {
    this.log = log
  }

  refused(stats: TlsStats, owner: string, remote: string, refusal: Refusal): void {
    envoyCounter(stats, refusal).value++
    // Bounded by RefusalCode.
    stats.scope.counter(`refused.${refusal.code.replaceAll('-', '_')}`).value++
    this.line('warn', 'TLS peer refused', { owner, remote, code: refusal.code, reason: refusal.reason })
  }

  /** A handshake that OpenSSL or the peer ended. */
  failed(stats: TlsStats, owner: string, remote: string, error: NodeJS.ErrnoException): void {
    stats.main.connection_error.value++
    this.line('info', 'TLS handshake failed', { owner, remote, code: error.code ?? '', reason: error.message })
  }

  warn(message: string, fields: Record<string, unknown>): void {
    this.log('warn', message, fields)
  }

  private line(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    const second = Math.floor(Date.now() / 1000)
    if (second !== this.second) {
      this.second = second
      this.lines = 0
    }
    if (++this.lines > MAX_REFUSAL_LINES_PER_SECOND) {
      this.unlogged++
      return
    }
    this.log(level, message, this.unlogged === 0 ? fields : { ...fields, unlogged: this.unlogged })
    this.unlogged = 0
  }
}

function envoyCounter(stats: TlsStats, { code }: Refusal): Counter {
  const { main } = stats
  switch (code) {
    case 'no-certificate':
      return main.fail_verify_no_cert
    case 'san':
    case 'server-name':
    case 'uri-san-count':
    case 'spiffe-syntax':
    case 'trust-domain':
      return main.fail_verify_san
    case 'certificate-hash':
      return main.fail_verify_cert_hash
    case 'sni-missing':
      return main.connection_error
    default:
      return main.fail_verify_error
  }
}
