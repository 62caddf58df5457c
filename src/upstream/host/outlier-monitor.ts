// What outlier detection remembers of one host: runs of failures, success rates of the current and the last interval, ejections.
// Owned by Host.outlier; written by outlier-detector alone (UpstreamCluster.record* calls it).

/** Requests of one interval; the last full interval is what success rates are computed from. */
export class SuccessRate {
  private total = 0
  private success = 0
  private lastTotal = 0
  private lastSuccess = 0
  /** Per cent, of the last interval with enough requests; -1 = none (shown by the admin API). */
  shown = -1

  count(success: boolean): void {
    this.total++
    if (success) this.success++
  }

  /** What another process counted. */
  add(total: number, success: number): void {
    this.total += total
    this.success += success
  }

  /** Takes out what was counted since the last call, for the process that judges. */
  take(): readonly [total: number, success: number] {
    const taken = [this.total, this.success] as const
    this.total = 0
    this.success = 0
    return taken
  }

  rotate(): void {
    this.lastTotal = this.total
    this.lastSuccess = this.success
    this.total = 0
    this.success = 0
    this.shown = -1
  }

  get volume(): number {
    return this.lastTotal
  }

  /** Per cent; -1 without a volume. */
  get percent(): number {
    return this.lastTotal === 0 ? -1 : (this.lastSuccess * 100) / this.lastTotal
  }
}

export class OutlierMonitor {
  consecutive5xx = 0
  consecutiveGatewayFailures = 0
  consecutiveLocalOriginFailures = 0
  readonly external = new SuccessRate()
  readonly localOrigin = new SuccessRate()
  /** All ejections ever (admin, logs). */
  ejections = 0
  /** Multiplier of the base ejection time: grows with each ejection, decays while the host behaves. */
  backoff = 0
  jitterMs = 0
  ejectedAtMs: number | null = null
  unejectedAtMs: number | null = null

  resetRuns(): void {
    this.consecutive5xx = 0
    this.consecutiveGatewayFailures = 0
    this.consecutiveLocalOriginFailures = 0
  }
}
