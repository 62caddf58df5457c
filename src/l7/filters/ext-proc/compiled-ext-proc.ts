// An ext_proc filter's config compiled: counters, which fields the processor gets, what it may change. Made by ext-proc.ts, once a filter.

import type { ExtProcConfig } from '../../../model/http-filter.js'
import { compileStringMatchers } from '../../match/string-matcher.js'
import type { FilterContext } from '../filter-environment.js'
import { compileAttributes } from './ext-proc-attributes.js'
import type { NamedFields } from './ext-proc-messages.js'
import { MutationChecker } from './ext-proc-mutations.js'

const COUNTERS = [
  'streams_started',
  'stream_msgs_sent',
  'stream_msgs_received',
  'spurious_msgs_received',
  'streams_closed',
  'streams_failed',
  'failure_mode_allowed',
  'message_timeouts',
  'rejected_header_mutations',
  'override_message_timeout_received',
  'override_message_timeout_ignored',
  'clear_route_cache_ignored',
  'clear_route_cache_disabled',
] as const

export class CompiledExtProc {
  readonly config: ExtProcConfig
  readonly ctx: FilterContext
  readonly stats
  readonly mutations: MutationChecker
  readonly requestAttributes: ReturnType<typeof compileAttributes>
  readonly responseAttributes: ReturnType<typeof compileAttributes>
  private readonly allowed: ((name: string) => boolean) | null
  private readonly disallowed: ((name: string) => boolean) | null

  constructor(config: ExtProcConfig, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    this.stats = ctx.httpCounters(config.statPrefix === '' ? 'ext_proc' : `ext_proc.${config.statPrefix}`, COUNTERS)
    this.mutations = new MutationChecker(config.mutationRules, this.stats.rejected_header_mutations)
    this.requestAttributes = compileAttributes(config.requestAttributes)
    this.responseAttributes = compileAttributes(config.responseAttributes)
    this.allowed = compileStringMatchers(config.allowedHeaders)
    this.disallowed = compileStringMatchers(config.disallowedHeaders)
  }

  forwarded(fields: NamedFields): NamedFields {
    const { allowed, disallowed } = this
    if (allowed === null && disallowed === null) return fields
    return fields.filter(([name]) => (allowed === null || allowed(name)) && (disallowed === null || !disallowed(name)))
  }
}
