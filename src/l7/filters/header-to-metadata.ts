// envoy.filters.http.header_to_metadata: header and cookie values become dynamic metadata, for subset load balancing, rate limits
// and access rules further on. Values longer than MAX_METADATA_VALUE_BYTES are not taken. A route's rules stand in the place of the filter's.

import type { HeaderToMetadataConfig, HeaderToMetadataRule } from '../../model/http-filter.js'
import { fromByteString, toByteString } from '../codec/byte-string.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { decodeValue } from '../grpc/protobuf-struct.js'
import { cookieValue } from '../match/cookie.js'
import { compileSubstitution } from '../match/regex.js'
import { compileOnce } from './compile-once.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

/** Envoy's bound. */
export const MAX_METADATA_VALUE_BYTES = 8 * 1024

type Target = NonNullable<HeaderToMetadataRule['onMissing']>

export function headerToMetadataFilter(name: string, disabled: boolean, config: HeaderToMetadataConfig): FilterFactory {
  const own = filterOf(config)
  const byRoute = compileOnce(filterOf)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter {
      const override = call.overrideFor(name)
      return override?.kind === 'headerToMetadata' ? byRoute(override.config) : own
    },
  }
}

function filterOf(config: HeaderToMetadataConfig): StreamFilter {
  const request = config.request.map(rule => new CompiledRule(rule))
  const response = config.response.map(rule => new CompiledRule(rule))
  return {
    requestHead(call: FilterCall, head: RequestHead): FilterStatus {
      for (const rule of request) rule.apply(call, head.headers, head)
      return 'continue'
    },
    explain(call: FilterCall, head: RequestHead): FilterExplanation {
      for (const rule of request) rule.apply(call, head.headers, head)
      return { verdict: 'passes', reason: 'its rules are applied' }
    },
    responseHead(call: FilterCall, head: ResponseHead): FilterStatus {
      for (const rule of response) rule.apply(call, head.headers, null)
      return 'continue'
    },
  }
}

class CompiledRule {
  private readonly rule: HeaderToMetadataRule
  private readonly rewrite: ((value: string) => string) | null

  constructor(rule: HeaderToMetadataRule) {
    this.rule = rule
    const regex = rule.onPresent?.regexRewrite ?? null
    this.rewrite = regex === null ? null : compileSubstitution(regex.pattern, regex.substitution)
  }

  apply(call: FilterCall, headers: HeaderList, head: RequestHead | null): void {
    const { rule } = this
    const value = rule.cookie !== '' ? cookieValue(headers, rule.cookie) : headerValue(headers, rule.header, head)
    if (value === undefined) {
      if (rule.onMissing !== null) this.store(call, rule.onMissing, rule.onMissing.value, false)
      return
    }
    const { onPresent } = rule
    if (onPresent !== null) {
      const taken = onPresent.value !== '' ? onPresent.value : this.rewrite === null ? value : this.rewrite(value)
      this.store(call, onPresent, taken, onPresent.encodeBase64)
    }
    if (rule.remove && rule.header !== '') headers.remove(rule.header)
  }

  private store(call: FilterCall, target: Target, value: string, base64: boolean): void {
    if (value === '' || value.length > MAX_METADATA_VALUE_BYTES) return
    const bytes = base64 || target.type === 'PROTOBUF_VALUE' ? decodeBase64(value) : null
    if (bytes === null && (base64 || target.type === 'PROTOBUF_VALUE')) return
    switch (target.type) {
      case 'STRING':
        call.info.setDynamicMetadata(target.namespace, target.key, bytes === null ? fromByteString(value) : bytes.toString('utf8'))
        return
      case 'NUMBER': {
        const text = bytes === null ? value : bytes.toString('latin1')
        const number = Number(text)
        if (text.trim() !== '' && Number.isFinite(number)) call.info.setDynamicMetadata(target.namespace, target.key, number)
        return
      }
      case 'PROTOBUF_VALUE': {
        const decoded = decodeValue(bytes!)
        if (decoded !== undefined) call.info.setDynamicMetadata(target.namespace, target.key, decoded)
      }
    }
  }
}

function headerValue(headers: HeaderList, name: string, head: RequestHead | null): string | undefined {
  if (head !== null) {
    switch (name) {
      case ':path':
        return head.path
      case ':method':
        return head.method
      case ':authority':
      case 'host':
        return head.authority
    }
  }
  return headers.getJoined(toByteString(name))
}

function decodeBase64(text: string): Buffer | null {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null
}
