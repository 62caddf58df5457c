// Whether a pod is ready, asked again and again by the probes of its sidecar and the readiness probes of its containers. Run by `k8s sidecar`, which tells
// the control plane. Invariant: ready is when each probe last said so as often in a row as it wants; before the first answers nobody is.
import type { AppProbe } from '../inject/app-probes.js'
import { askProbe } from './ask-probe.js'

/** Who waits to be ready is asked this often at least: callers should not wait longer for it than the kubelet does. */
const MAX_WAIT_S = 1

export interface AppReadinessOptions {
  readonly probes: readonly AppProbe[]
  /** Where the application listens. */
  readonly host: string
  /** Once at the first answers, then when it changes; `why` is that of the first probe that says no. */
  readonly onChange: (ready: boolean, why: string) => void
}

interface Asked {
  readonly probe: AppProbe
  ready: boolean
  why: string
  /** Answers in a row against what `ready` says. */
  against: number
}

export class AppReadiness {
  private readonly asked: Asked[]
  private readonly timers = new Set<NodeJS.Timeout>()
  private stopped = false
  private said: boolean | null = null

  constructor(private readonly options: AppReadinessOptions) {
    this.asked = options.probes.map(probe => ({ probe, ready: false, why: 'it has not been asked yet', against: 0 }))
    for (const each of this.asked) void this.ask(each)
  }

  get ready(): boolean {
    return this.asked.every(({ ready }) => ready)
  }

  /** '' when it is ready. */
  get why(): string {
    return this.asked.find(({ ready }) => !ready)?.why ?? ''
  }

  stop(): void {
    this.stopped = true
    for (const timer of this.timers) clearTimeout(timer)
  }

  private async ask(asked: Asked): Promise<void> {
    const { probe } = asked
    const why = await askProbe(probe, this.options.host)
    if (this.stopped) return
    if (!asked.ready) asked.why = why
    asked.against = (why === '') === asked.ready ? 0 : asked.against + 1
    if (asked.against >= (asked.ready ? probe.failures : probe.successes)) {
      asked.ready = !asked.ready
      asked.why = why
      asked.against = 0
    }
    if (this.ready !== this.said) {
      this.said = this.ready
      this.options.onChange(this.ready, this.why)
    }
    const timer = setTimeout(
      () => {
        this.timers.delete(timer)
        void this.ask(asked)
      },
      (asked.ready ? probe.periodS : Math.min(probe.periodS, MAX_WAIT_S)) * 1000,
    )
    // Whether the process goes on is for others to say: it ends where it is refused.
    timer.unref()
    this.timers.add(timer)
  }
}
