// Descriptors of a request from the rate_limits of its route and virtual host (envoy.config.route.v3.RateLimit). Called by the
// local and the global rate limit filters. An action that yields nothing drops its whole descriptor, unless it may be skipped.

import type { HostRateLimits } from '../../../model/http-filter.js'
import type { RateLimit, RateLimitAction } from '../../../model/rate-limit.js'
import type { RequestHead } from '../../codec/codec.js'
import { compileHeaderMatchers } from '../../match/header-matcher.js'
import { metadataValue } from '../../match/metadata-matcher.js'
import { compileQueryParameters } from '../../match/query-parameter.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall } from '../http-filter.js'
import { targetCluster } from '../route-target.js'

export interface DescriptorEntry {
  readonly key: string
  readonly value: string
}
export type Descriptor = readonly DescriptorEntry[]

/** `null` drops the descriptor, `undefined` skips the entry. */
type EntryMaker = (call: FilterCall, head: RequestHead) => string | null | undefined

interface CompiledLimit {
  readonly stage: number
  readonly disableKey: string
  readonly entries: readonly { readonly key: string; readonly make: EntryMaker }[]
}

export class DescriptorSource {
  private readonly ctx: FilterContext
  private readonly compiled = new WeakMap<RateLimit, CompiledLimit>()

  constructor(ctx: FilterContext) {
    this.ctx = ctx
  }

  /** Of the route that forwards the request. */
  descriptors(call: FilterCall, head: RequestHead, stage: number, hosts: HostRateLimits): Descriptor[] {
    const limits = call.route?.forward?.rateLimits[hosts]
    return limits === undefined ? [] : this.descriptorsOf(limits, call, head, stage)
  }

  descriptorsOf(limits: readonly RateLimit[], call: FilterCall, head: RequestHead, stage: number): Descriptor[] {
    const out: Descriptor[] = []
    this.collect(limits, call, head, stage, out)
    return out
  }

  private collect(limits: readonly RateLimit[], call: FilterCall, head: RequestHead, stage: number, out: Descriptor[]): void {
    for (const model of limits) {
      let limit = this.compiled.get(model)
      if (limit === undefined) {
        limit = this.compile(model)
        this.compiled.set(model, limit)
      }
      if (limit.stage !== stage || this.switchedOff(limit)) continue
      const entries: DescriptorEntry[] = []
      let complete = true
      for (const { key, make } of limit.entries) {
        const value = make(call, head)
        if (value === undefined) continue
        if (value === null) {
          complete = false
          break
        }
        entries.push({ key, value })
      }
      if (complete && entries.length > 0) out.push(entries)
    }
  }

  private switchedOff(limit: CompiledLimit): boolean {
    if (limit.disableKey === '') return false
    const value = this.ctx.runtime.get(`ratelimit.${limit.disableKey}.http_filter_enabled`)
    return value === 0 || value === false || value === '0'
  }

  private compile(model: RateLimit): CompiledLimit {
    return {
      stage: model.stage,
      disableKey: model.disableKey,
      entries: model.actions.map(action => ({ key: action.key, make: this.compileAction(action) })),
    }
  }

  private compileAction(action: RateLimitAction): EntryMaker {
    switch (action.kind) {
      case 'source_cluster':
        return () => this.ctx.env.serviceCluster ?? ''
      case 'destination_cluster':
        return (call, head) => targetCluster(call, head) || null
      case 'remote_address':
        return call => call.info.remoteAddress || null
      case 'masked_remote_address':
        return call => maskAddress(call.info.remoteAddress, action.prefixLengthV4, action.prefixLengthV6)
      case 'generic_key':
        return () => action.value
      case 'request_headers': {
        const absent = action.skipIfAbsent ? undefined : null
        switch (action.headerName) {
          case ':path':
            return (_call, head) => head.path || absent
          case ':method':
            return (_call, head) => head.method
          case ':authority':
          case 'host':
            return (_call, head) => head.authority || absent
          case ':scheme':
            return (_call, head) => head.scheme || absent
          default:
            return (_call, head) => head.headers.getJoined(action.headerName) ?? absent
        }
      }
      case 'header_value_match': {
        const test = compileHeaderMatchers(action.headers)
        return (call, head) => ((test === null || test(head, call.info)) === action.expectMatch ? action.value : null)
      }
      case 'query_parameter_value_match': {
        const test = compileQueryParameters(action.queryParameters)
        return (_call, head) => ((test === null || test(head.path)) === action.expectMatch ? action.value : null)
      }
      case 'metadata':
        return call => {
          const { routeMetadata, metadataNamespace, metadataPath } = action
          const { info } = call
          const metadata = routeMetadata ? info.routeMetadata?.get(metadataNamespace) : info.dynamicMetadata(metadataNamespace)
          const value = metadataValue(metadata, metadataPath)
          if (typeof value === 'string' && value !== '') return value
          if (action.value !== '') return action.value
          return action.skipIfAbsent ? undefined : null
        }
    }
  }
}

/** `10.1.2.3` with 16 bits -> `10.1.0.0/16`; null when it is not an address. */
export function maskAddress(address: string, bitsV4: number, bitsV6: number): string | null {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(address)) {
    const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
    const size = 2 ** (32 - Math.min(bitsV4, 32))
    const masked = Math.floor(number / size) * size
    return `${[24, 16, 8, 0].map(shift => Math.floor(masked / 2 ** shift) % 256).join('.')}/${bitsV4}`
  }
  const groups = expandIpv6(address)
  if (groups === null) return null
  const kept = groups.map((group, i) => {
    const bits = Math.max(0, Math.min(16, bitsV6 - i * 16))
    return group & (0xffff ^ (0xffff >> bits))
  })
  return `${compressIpv6(kept)}/${bitsV6}`
}

function expandIpv6(address: string): number[] | null {
  const halves = address.split('::')
  if (halves.length > 2 || !/^[0-9a-fA-F:]+$/.test(address)) return null
  const parse = (text: string) => (text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16)))
  const left = parse(halves[0]!)
  const right = halves.length === 2 ? parse(halves[1]!) : []
  const gap = 8 - left.length - right.length
  if (halves.length === 2 ? gap < 1 : gap !== 0) return null
  const groups = [...left, ...new Array<number>(gap).fill(0), ...right]
  return groups.every(group => Number.isInteger(group) && group >= 0 && group <= 0xffff) ? groups : null
}

/** RFC 5952: the longest run of two or more zero groups becomes `::`. */
function compressIpv6(groups: readonly number[]): string {
  let start = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && groups[i + run] === 0) run++
    if (run > length) {
      start = i
      length = run
    }
    i += run
  }
  const text = (part: readonly number[]) => part.map(group => group.toString(16)).join(':')
  return start === -1 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}
