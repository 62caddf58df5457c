// envoy.service.ratelimit.v3.RateLimitRequest and RateLimitResponse in wire format. Used by rate-limit.ts.

import type { JsonValue } from '../../../model/metadata.js'
import { readStruct } from '../../grpc/protobuf-struct.js'
import { ProtobufReader, ProtobufWriter } from '../../grpc/protobuf-writer.js'
import type { Descriptor } from './rate-limit-descriptors.js'

export const SHOULD_RATE_LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'

/** Headers taken from one answer; further ones are left out. */
const MAX_HEADERS = 64
const MAX_STATUSES = 1024

const UNIT_SECONDS: readonly number[] = [0, 1, 60, 3600, 86_400, 2_592_000, 31_536_000]

export interface DescriptorStatus {
  readonly overLimit: boolean
  readonly limit: { readonly name: string; readonly requestsPerUnit: number; readonly unitSeconds: number } | null
  readonly remaining: number
  readonly resetSeconds: number
}

export interface RateLimitAnswer {
  readonly code: 'ok' | 'over-limit' | 'unknown'
  readonly statuses: readonly DescriptorStatus[]
  readonly responseHeaders: readonly (readonly [string, string])[]
  readonly requestHeaders: readonly (readonly [string, string])[]
  readonly body: string
  readonly metadata: Record<string, JsonValue> | null
}

export function encodeRateLimitRequest(domain: string, descriptors: readonly Descriptor[]): Buffer {
  const writer = new ProtobufWriter().string(1, domain)
  for (const descriptor of descriptors) {
    writer.message(2, message => {
      for (const { key, value } of descriptor) message.message(1, entry => entry.string(1, key).bytes(2, Buffer.from(value, 'latin1')))
    })
  }
  return writer.finish()
}

/** Null when the bytes are malformed. */
export function decodeRateLimitResponse(bytes: Buffer): RateLimitAnswer | null {
  const reader = new ProtobufReader(bytes)
  let code: RateLimitAnswer['code'] = 'unknown'
  const statuses: DescriptorStatus[] = []
  const responseHeaders: [string, string][] = []
  const requestHeaders: [string, string][] = []
  let body = ''
  let metadata: Record<string, JsonValue> | null = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    switch (field) {
      case 1:
        code = reader.value === 1 ? 'ok' : reader.value === 2 ? 'over-limit' : 'unknown'
        break
      case 2: {
        const status = readStatus(reader.nested())
        if (status === null) return null
        if (statuses.length < MAX_STATUSES) statuses.push(status)
        break
      }
      case 3:
      case 4: {
        const header = readHeaderValue(reader.nested())
        if (header === null) return null
        const list = field === 3 ? responseHeaders : requestHeaders
        if (list.length < MAX_HEADERS) list.push(header)
        break
      }
      case 5:
        body = reader.byteString()
        break
      case 6:
        metadata = readStruct(reader.nested())
    }
  }
  return reader.failed ? null : { code, statuses, responseHeaders, requestHeaders, body, metadata }
}

function readStatus(reader: ProtobufReader): DescriptorStatus | null {
  let overLimit = false
  let limit: DescriptorStatus['limit'] = null
  let remaining = 0
  let resetSeconds = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) overLimit = reader.value === 2
    else if (field === 3) remaining = reader.value
    else if (field === 2) {
      const inner = reader.nested()
      let name = ''
      let requestsPerUnit = 0
      let unitSeconds = 0
      for (let part = inner.next(); part !== 0; part = inner.next()) {
        if (part === 1) requestsPerUnit = inner.value
        else if (part === 2) unitSeconds = UNIT_SECONDS[inner.value] ?? 0
        else if (part === 3) name = inner.text()
      }
      if (inner.failed) return null
      limit = { name, requestsPerUnit, unitSeconds }
    } else if (field === 4) {
      const inner = reader.nested()
      for (let part = inner.next(); part !== 0; part = inner.next()) if (part === 1) resetSeconds = inner.value
      if (inner.failed) return null
    }
  }
  return reader.failed ? null : { overLimit, limit, remaining, resetSeconds }
}

/** envoy.config.core.v3.HeaderValue; `raw_value` where `value` is empty. Null when malformed. */
export function readHeaderValue(reader: ProtobufReader): [string, string] | null {
  let key = ''
  let value = ''
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (reader.wireType !== 2) continue
    if (field === 1) key = reader.text()
    else if (field === 2 || (field === 3 && value === '')) value = reader.data.toString('latin1')
  }
  return reader.failed ? null : [key, value]
}
