// envoy.filters.http.compressor, response direction: gzip or brotli where the client accepts it and the answer is of a kind and
// length worth it. Several compressors in one chain agree by the same rule (accept-encoding.ts) on which of them acts.
// Requests are never decompressed or compressed: there is nothing here that a compressed bomb could blow up.

import type { CompressorConfig } from '../../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import type { HeaderList } from '../../codec/header-list.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { responseControl } from '../response-control.js'
import { chooseEncoding, type Encoding } from './accept-encoding.js'
import { BrotliEncoder, type BrotliEvents, GzipEncoder } from './content-encoder.js'

/** Filter state: Accept-Encoding as it came, for compressors after one that removed it. */
const ACCEPT_ENCODING_STATE = 'outrigger.compressor.accept_encoding'
const EMPTY = Buffer.alloc(0)

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

export function encodingOf(config: CompressorConfig): Encoding {
  return config.library.kind === 'gzip' ? 'gzip' : 'br'
}

/** `offered`: the encodings of all compressors of the chain, in order. */
export function compressorFilter(
  name: string,
  disabled: boolean,
  config: CompressorConfig,
  offered: readonly Encoding[],
  ctx: FilterContext,
): FilterFactory {
  const compiled = new CompiledCompressor(config, offered, ctx)
  return {
    name,
    disabled,
    seesLocalReplies: true,
    create(call: FilterCall): StreamFilter | null {
      if (!config.responseEnabled || call.request.upgrade !== '' || call.request.method === 'CONNECT') return null
      return new CompressorFilter(compiled)
    },
  }
}

class CompiledCompressor {
  readonly config: CompressorConfig
  readonly offered: readonly Encoding[]
  readonly encoding: Encoding
  readonly contentTypes: ReadonlySet<string>
  readonly stats
  /** Requests are never compressed. */
  readonly requestStats

  constructor(config: CompressorConfig, offered: readonly Encoding[], ctx: FilterContext) {
    this.config = config
    this.offered = offered
    this.encoding = encodingOf(config)
    this.contentTypes = new Set(config.contentTypes)
    // `compressor.<name of the library>.<gzip|brotli>.`, and below it `response.` where the config has a response direction.
    const base = `compressor.${config.statPrefix === '' ? '' : `${config.statPrefix}.`}${config.library.kind}`
    this.stats = {
      ...ctx.httpCounters(base, HEADER_COUNTERS),
      ...ctx.httpCounters(config.responseDirection ? `${base}.response` : base, DIRECTION_COUNTERS),
    }
    this.requestStats = ctx.httpCounters(`${base}.request`, DIRECTION_COUNTERS)
  }

  /** All that must hold besides the client's wish. */
  compressible(head: ResponseHead): boolean {
    const { headers } = head
    if (head.upgraded || head.status === 204 || head.status === 304 || this.config.uncompressibleResponseCodes.includes(head.status))
      return false
    if (headers.has('content-encoding') || headers.has('content-range')) return false
    const type = headers.get('content-type')
    if (type !== undefined && type !== '') {
      const semicolon = type.indexOf(';')
      if (!this.contentTypes.has((semicolon === -1 ? type : type.slice(0, semicolon)).trim().toLowerCase())) return false
    }
    if (headers.getJoined('cache-control')?.toLowerCase().includes('no-transform') === true) return false
    if (this.config.disableOnEtagHeader && headers.has('etag')) {
      this.stats.not_compressed_etag.value++
      return false
    }
    return true
  }

  longEnough(head: ResponseHead): boolean {
    const length = head.headers.get('content-length')
    if (length === undefined || Number(length) >= this.config.minContentLength) return true
    this.stats.content_length_too_small.value++
    return false
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

class CompressorFilter implements StreamFilter, BrotliEvents {
  private readonly compiled: CompiledCompressor
  private gzip: GzipEncoder | null = null
  private brotli: BrotliEncoder | null = null
  private call: FilterCall | null = null
  private trailers: HeaderList | null = null
  private paused = false

  constructor(compiled: CompiledCompressor) {
    this.compiled = compiled
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    this.compiled.requestStats.not_compressed.value++
    const accept = head.headers.getJoined('accept-encoding')
    if (accept !== undefined) {
      call.info.setFilterState(ACCEPT_ENCODING_STATE, accept)
      if (this.compiled.config.removeAcceptEncodingHeader) head.headers.remove('accept-encoding')
    }
    return 'continue'
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    const { compiled } = this
    const { headers } = head
    const compressible = compiled.longEnough(head) && compiled.compressible(head)
    const accept = call.info.filterState(ACCEPT_ENCODING_STATE) as string | undefined
    const wanted = compressible && compiled.wanted(accept)
    if (!wanted || end) compiled.stats.not_compressed.value++
    else {
      compiled.stats.compressed.value++
      const etag = headers.get('etag')
      // A strong validator names the bytes of the uncompressed answer (RFC 9110 §8.8.1).
      if (etag !== undefined && !etag.startsWith('W/') && !etag.startsWith('w/')) headers.remove('etag')
      headers.remove('content-length')
      headers.remove('accept-ranges')
      head.contentLength = -1
      headers.set('content-encoding', compiled.encoding)
      this.start(call)
    }
    // Also where this client got it plain: a cache must know that others would not.
    if (compressible) addVary(headers)
    return 'continue'
  }

  responseData(call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    const { stats } = this.compiled
    if (this.gzip !== null) {
      stats.total_uncompressed_bytes.value += chunk.length
      const out = this.gzip.encode(chunk, end)
      stats.total_compressed_bytes.value += out.length
      return out
    }
    if (this.brotli === null) return chunk
    stats.total_uncompressed_bytes.value += chunk.length
    if (!this.brotli.write(chunk) && !this.paused) {
      this.paused = true
      responseControl(call).pauseResponse()
    }
    if (end) this.brotli.end()
    return null
  }

  responseTrailers(call: FilterCall, trailers: HeaderList): HeaderList | null {
    if (this.gzip !== null) {
      const out = this.gzip.encode(EMPTY, true)
      this.compiled.stats.total_compressed_bytes.value += out.length
      responseControl(call).emitResponseData(this, out, false)
      return trailers
    }
    if (this.brotli === null) return trailers
    this.trailers = trailers
    this.brotli.end()
    return null
  }

  finished(): void {
    this.brotli?.destroy()
    this.call = null
  }

  onCompressed(bytes: Buffer): void {
    if (this.call === null || this.call.ended) return
    this.compiled.stats.total_compressed_bytes.value += bytes.length
    responseControl(this.call).emitResponseData(this, bytes, false)
  }

  onCompressedEnd(): void {
    if (this.call === null || this.call.ended) return
    const control = responseControl(this.call)
    if (this.trailers !== null) control.emitResponseTrailers(this, this.trailers)
    else control.emitResponseData(this, EMPTY, true)
  }

  onWritable(): void {
    if (!this.paused || this.call === null || this.call.ended) return
    this.paused = false
    responseControl(this.call).unpauseResponse()
  }

  private start(call: FilterCall): void {
    const { library } = this.compiled.config
    if (library.kind === 'gzip') this.gzip = new GzipEncoder(library.level, library.windowBits, library.memLevel)
    else {
      this.call = call
      this.brotli = new BrotliEncoder(library.quality, library.windowBits, this)
    }
  }
}

function addVary(headers: HeaderList): void {
  const vary = headers.getJoined('vary')
  if (vary === undefined || vary === '') headers.set('vary', 'Accept-Encoding')
  else if (!vary.split(',').some(field => field.trim() === '*' || field.trim().toLowerCase() === 'accept-encoding'))
    headers.set('vary', `${vary}, Accept-Encoding`)
}
