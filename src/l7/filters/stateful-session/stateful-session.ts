// envoy.filters.http.stateful_session: keeps a client at the endpoint that served it before. The request's wish goes into
// StreamInfo.overrideHost, which the router heeds at the first try; the response tells the client where it is now.
// A route may have a state of its own; what it does is not counted, as in Envoy.

import type { StatefulSessionConfig } from '../../../model/stateful-session.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { ResponseFlag } from '../../stream/response-flags.js'
import { compileOnce } from '../compile-once.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { type SessionStore, sessionStore } from './session-state.js'

const COUNTERS = ['routed', 'failed_open', 'failed_closed', 'no_session'] as const

type SessionStats = ReturnType<typeof FilterContext.prototype.counters<(typeof COUNTERS)[number]>>

export function statefulSessionFilter(name: string, disabled: boolean, config: StatefulSessionConfig, ctx: FilterContext): FilterFactory {
  const stats = config.statPrefix === '' ? null : ctx.httpCounters(`stateful_session.${config.statPrefix}`, COUNTERS)
  const own = new CompiledSession(config, ctx, stats)
  const sessionOf = compileOnce((ofRoute: StatefulSessionConfig) => new CompiledSession(ofRoute, ctx, null))
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      if (override?.kind !== 'statefulSession' || override.config === null) return own.inert ? null : new StatefulSessionFilter(own)
      const session = sessionOf(override.config)
      return session.inert ? null : new StatefulSessionFilter(session)
    },
  }
}

class CompiledSession {
  readonly config: StatefulSessionConfig
  readonly store: SessionStore | null
  readonly stats: SessionStats | null

  constructor(config: StatefulSessionConfig, ctx: FilterContext, stats: SessionStats | null) {
    this.config = config
    this.stats = stats
    this.store = config.state === null ? null : sessionStore(config.state, ctx.wallClock)
  }

  /** Nothing to do, and nothing to count. */
  get inert(): boolean {
    return this.store === null && this.stats === null
  }

  count(what: (typeof COUNTERS)[number]): void {
    if (this.stats !== null) this.stats[what].value++
  }
}

class StatefulSessionFilter implements StreamFilter {
  private readonly session: CompiledSession
  /** The endpoint that the client asked for; null: it has no session here. */
  private wanted: string | null = null

  constructor(session: CompiledSession) {
    this.session = session
  }

  requestHead({ info }: FilterCall, head: RequestHead): FilterStatus {
    const { store, config } = this.session
    this.wanted = store === null ? null : store.read(head)
    if (this.wanted !== null && this.wanted !== '') {
      const { strict, missingStatus } = config
      info.overrideHost = { address: this.wanted, strict, missingStatus }
    }
    return 'continue'
  }

  explain(call: FilterCall, head: RequestHead): FilterExplanation {
    this.requestHead(call, head)
    if (!this.wanted) return { verdict: 'passes', reason: 'it asks for no endpoint' }
    return { verdict: 'passes', reason: `its session is at ${this.wanted}${this.session.config.strict ? ', and nowhere else' : ''}` }
  }

  responseHead({ info }: FilterCall, head: ResponseHead): FilterStatus {
    const { session, wanted } = this
    const host = info.selectedHost
    if (host !== null) {
      if (wanted === null) session.count('no_session')
      else {
        session.store!.write(head, wanted, host.key)
        if (host.key === wanted) session.count('routed')
        else if (!session.config.strict) session.count('failed_open')
      }
    } else if (wanted !== null && session.config.strict && (info.responseFlags & ResponseFlag.NoHealthyUpstream) !== 0)
      session.count('failed_closed')
    return 'continue'
  }
}
