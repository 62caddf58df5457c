// envoy.filters.http.compressor: gzip, Brotli or zstd, of answers where the client accepts it and the answer is of a kind and length worth
// it, and of requests where the config says so. Several compressors in one chain agree by the same rule (accept-encoding.ts) on which of
// them acts on an answer.

import type { CompressorConfig, CompressorDirection, CompressorLibrary } from '../../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import type { HeaderList } from '../../codec/header-list.js'
import { flagIsOn, type Runtime } from '../../match/runtime-fraction.js'
import { type BodyFlow, RequestFlow, ResponseFlow } from '../body-flow.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { chooseEncoding, type Encoding } from './accept-encoding.js'
import { type BodyEncoder, bodyEncoder, type EncoderCounters } from './body-encoder.js'
import { compileContentTypes } from './content-types.js'

/** Filter state: Accept-Encoding as it came, for compressors after one that removed it. */
const ACCEPT_ENCODING_STATE = 'outrigger.compressor.accept_encoding'
const STATUS_HEADER = 'x-envoy-compression-status'

const HEADER_COUNTERS = [
  'no_accept_header',
  'header_identity',
  'header_compressor_used',
  'header_compressor_overshadowed',
  'header_wildcard',
  'header_not_valid',
  'not_compressed_etag',
] as const
const DIRECTION_COUNTERS = [
  'compressed',
  'not_compressed',
  'total_uncompressed_bytes',
  'total_compressed_bytes',
  'content_length_too_small',
] as const
const ENCODINGS: Record<CompressorLibrary['kind'], Encoding> = { gzip: 'gzip', brotli: 'br', zstd: 'zstd' }

/** Why an answer stays as it is; the names that the status header has for it. */
type Obstacle = 'ContentLengthTooSmall' | 'ContentTypeNotAllowed' | 'EtagNotAllowed' | 'StatusCodeNotAllowed' | 'other'

/** Null: none, for want of the library. */
export function encodingOf({ library }: CompressorConfig): Encoding | null {
  return library === null ? null : ENCODINGS[library.kind]
}

/** `offered`: the encodings of all compressors of the chain, in order. */
export function compressorFilter(
  name: string,
  disabled: boolean,
  config: CompressorConfig,
  offered: readonly Encoding[],
  ctx: FilterContext,
): FilterFactory {
  const { library } = config
  if (library === null) return { name, disabled, create: () => null }
  const compiled = new CompiledCompressor(config, library, offered, ctx)
  return {
    name,
    disabled,
    seesLocalReplies: true,
    create(call: FilterCall): StreamFilter | null {
      if (call.request.upgrade !== '' || call.request.method === 'CONNECT') return null
      const override = call.overrideFor(name)
      const own = override?.kind === 'compressor' ? override : null
      return new CompressorFilter(
        compiled,
        own?.compressesResponses ?? false,
        own?.removeAcceptEncodingHeader ?? config.removeAcceptEncodingHeader,
      )
    },
  }
}

class CompiledCompressor {
  readonly config: CompressorConfig
  readonly library: CompressorLibrary
  readonly offered: readonly Encoding[]
  readonly encoding: Encoding
  readonly runtime: Runtime
  readonly stats
  readonly requestStats
  private readonly responseType: (header: string | undefined) => boolean
  private readonly requestType: (header: string | undefined) => boolean

  constructor(config: CompressorConfig, library: CompressorLibrary, offered: readonly Encoding[], ctx: FilterContext) {
    this.config = config
    this.library = library
    this.offered = offered
    this.encoding = ENCODINGS[library.kind]
    this.runtime = ctx.runtime
    this.responseType = compileContentTypes(config.response)
    this.requestType = compileContentTypes(config.request ?? config.response)
    // `compressor.<name of the library>.<gzip|brotli|zstd>.`, and below it `response.` where the config has a response direction.
    const base = `compressor.${config.statPrefix === '' ? '' : `${config.statPrefix}.`}${library.kind}`
    this.stats = {
      ...ctx.httpCounters(base, HEADER_COUNTERS),
      ...ctx.httpCounters(config.responseDirection ? `${base}.response` : base, DIRECTION_COUNTERS),
    }
    this.requestStats = ctx.httpCounters(`${base}.request`, DIRECTION_COUNTERS)
  }

  takesRequest({ headers }: RequestHead): boolean {
    const direction = this.config.request
    if (direction === null || !flagIsOn(direction.enabled, this.runtime)) return false
    if (!longEnough(headers, direction)) {
      this.requestStats.content_length_too_small.value++
      return false
    }
    return this.requestType(headers.get('content-type')) && !headers.has('content-encoding')
  }

  /** What stands against compressing it, besides the client's wish; null: nothing. */
  obstacle(head: ResponseHead): Obstacle | null {
    const { config, stats } = this
    const { headers } = head
    if (head.upgraded || head.status === 204 || head.status === 304) return 'other'
    if (!longEnough(headers, config.response)) {
      stats.content_length_too_small.value++
      return 'ContentLengthTooSmall'
    }
    if (headers.has('content-encoding') || headers.has('content-range')) return 'other'
    if (headers.getJoined('cache-control')?.toLowerCase().includes('no-transform') === true) return 'other'
    if (!this.responseType(headers.get('content-type'))) return 'ContentTypeNotAllowed'
    if (config.disableOnEtagHeader && headers.has('etag')) {
      stats.not_compressed_etag.value++
      return 'EtagNotAllowed'
    }
    return config.uncompressibleResponseCodes.includes(head.status) ? 'StatusCodeNotAllowed' : null
  }

  /** The client's wish; counted only where the answer could be compressed. */
  wanted(accept: string | undefined): boolean {
    const { stats } = this
    if (accept === undefined) {
      stats.no_accept_header.value++
      return false
    }
    const choice = chooseEncoding(accept, this.offered, this.config.chooseFirst)
    if (choice.kind === 'invalid') {
      stats.header_not_valid.value++
      return false
    }
    if (choice.kind === 'identity') {
      stats.header_identity.value++
      return false
    }
    if (choice.encoding !== this.encoding) {
      stats.header_compressor_overshadowed.value++
      return false
    }
    if (choice.wildcard) stats.header_wildcard.value++
    else stats.header_compressor_used.value++
    return true
  }
}

function longEnough(headers: HeaderList, direction: CompressorDirection): boolean {
  const length = headers.get('content-length')
  return length === undefined || Number(length) >= direction.minContentLength
}

class CompressorFilter implements StreamFilter {
  private readonly compiled: CompiledCompressor
  private readonly alwaysResponses: boolean
  private readonly removesAcceptEncoding: boolean
  private request: BodyEncoder | null = null
  private response: BodyEncoder | null = null

  constructor(compiled: CompiledCompressor, alwaysResponses: boolean, removesAcceptEncoding: boolean) {
    this.compiled = compiled
    this.alwaysResponses = alwaysResponses
    this.removesAcceptEncoding = removesAcceptEncoding
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    const { compiled } = this
    const { headers } = head
    const accept = headers.getJoined('accept-encoding')
    if (accept !== undefined) {
      call.info.setFilterState(ACCEPT_ENCODING_STATE, accept)
      if (this.removesAcceptEncoding && this.takesResponses()) headers.remove('accept-encoding')
    }
    if (!end && compiled.takesRequest(head)) {
      headers.remove('content-length')
      head.contentLength = -1
      headers.set('content-encoding', compiled.encoding)
      this.request = this.encode(new RequestFlow(call, this), compiled.requestStats)
    } else compiled.requestStats.not_compressed.value++
    return 'continue'
  }

  private takesResponses(): boolean {
    const { config, runtime } = this.compiled
    return this.alwaysResponses || flagIsOn(config.response.enabled, runtime)
  }

  requestData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.request === null ? chunk : this.request.write(chunk, end)
  }

  requestTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.request === null ? trailers : this.request.endWith(trailers)
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    const { compiled } = this
    const { config, encoding, stats } = compiled
    if (!this.takesResponses()) {
      stats.not_compressed.value++
      return 'continue'
    }
    const { headers } = head
    const obstacle = compiled.obstacle(head)
    const accept = call.info.filterState(ACCEPT_ENCODING_STATE) as string | undefined
    const wanted = obstacle === null && compiled.wanted(accept)
    if (config.statusHeader && !end && (wanted || (obstacle !== null && obstacle !== 'other')))
      headers.append(STATUS_HEADER, `${encoding};${obstacle ?? `Compressed;OriginalLength=${headers.get('content-length') ?? ''}`}`)
    if (!wanted || end) stats.not_compressed.value++
    else {
      const etag = headers.get('etag')
      // A strong validator names the bytes of the uncompressed answer (RFC 9110 §8.8.1).
      if (etag !== undefined && !etag.startsWith('W/') && !etag.startsWith('w/')) {
        if (config.weakenEtag) headers.set('etag', `W/${etag}`)
        else headers.remove('etag')
      }
      headers.remove('content-length')
      headers.remove('accept-ranges')
      head.contentLength = -1
      headers.set('content-encoding', encoding)
      this.response = this.encode(new ResponseFlow(call, this), stats)
    }
    // Also where this client got it plain: a cache must know that others would not.
    if (obstacle === null) addVary(headers)
    return 'continue'
  }

  responseData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.response === null ? chunk : this.response.write(chunk, end)
  }

  responseTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.response === null ? trailers : this.response.endWith(trailers)
  }

  finished(): void {
    this.request?.destroy()
    this.response?.destroy()
  }

  private encode(flow: BodyFlow, counters: EncoderCounters): BodyEncoder {
    counters.compressed.value++
    return bodyEncoder(this.compiled.library, flow, counters)
  }
}

function addVary(headers: HeaderList): void {
  const vary = headers.getJoined('vary')
  if (vary === undefined || vary === '') headers.set('vary', 'Accept-Encoding')
  else if (!vary.split(',').some(field => field.trim() === '*' || field.trim().toLowerCase() === 'accept-encoding'))
    headers.set('vary', `${vary}, Accept-Encoding`)
}
