// All tracers of the process: connection managers with equal providers share one, so that their spans share requests. Made by the server;
// a tracer is closed, and what waits in it sent, when the last listener that uses it has gone.

import type { TracerConfig } from '../../model/tracing.js'
import { OpenTelemetryTracer } from './opentelemetry-tracer.js'
import type { Tracer } from './tracer.js'
import type { TracerEnvironment } from './tracer-environment.js'
import { ZipkinTracer } from './zipkin-tracer.js'

interface OpenTracer {
  readonly tracer: Tracer
  users: number
}

export class Tracers {
  private readonly env: TracerEnvironment
  /** The bootstrap's. */
  private readonly fallback: TracerConfig | null
  private readonly open = new Map<string, OpenTracer>()
  /** Tracers without users whose last spans are on their way. */
  private readonly closing = new Set<Promise<void>>()

  constructor(env: TracerEnvironment, fallback: TracerConfig | null) {
    this.env = env
    this.fallback = fallback
  }

  /** Null: nothing provides one. release() gives it back, once. */
  use(provider: TracerConfig | null): { readonly tracer: Tracer; release(): void } | null {
    const config = provider ?? this.fallback
    if (config === null) return null
    const key = JSON.stringify(config)
    let entry = this.open.get(key)
    if (entry === undefined) {
      const tracer = config.kind === 'zipkin' ? new ZipkinTracer(config, this.env) : new OpenTelemetryTracer(config, this.env)
      entry = { tracer, users: 0 }
      this.open.set(key, entry)
    }
    const used = entry
    used.users++
    return {
      tracer: used.tracer,
      release: () => {
        if (--used.users > 0) return
        this.open.delete(key)
        const closed = used.tracer.close().finally(() => this.closing.delete(closed))
        this.closing.add(closed)
      },
    }
  }

  /** The process ends: what waits is sent. */
  async close(): Promise<void> {
    const tracers = [...this.open.values()].map(({ tracer }) => tracer)
    this.open.clear()
    await Promise.all([...this.closing, ...tracers.map(tracer => tracer.close())])
  }
}
