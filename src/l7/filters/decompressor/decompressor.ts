// envoy.filters.http.decompressor: bodies in one content coding are decoded on their way upstream and downstream, and answers in that
// coding asked for. A body that is broken, cut short or swells beyond the allowed ratio is never passed on as if it were whole: the
// request is refused, the response breaks off.
//
//   head ──coding is the outer one──▶ StreamCoder ──bytes──▶ ratio ──▶ onwards, ended by trailers with both lengths

import type { DecompressorConfig, DecompressorDirection } from '../../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { flagIsOn, type Runtime } from '../../match/runtime-fraction.js'
import { ResponseFlag } from '../../stream/response-flags.js'
import { type BodyFlow, RequestFlow, ResponseFlow } from '../body-flow.js'
import type { Encoding } from '../compressor/accept-encoding.js'
import { type CoderOwner, OVERFLOW, StreamCoder } from '../compressor/stream-coder.js'
import { decoderStream } from '../compressor/zlib-streams.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'

/** Bytes out for each byte in, of the libraries that have no setting for it (Envoy's constant). */
const DEFAULT_MAX_RATIO = 100
const CODINGS: Record<DecompressorConfig['library']['kind'], Encoding> = { gzip: 'gzip', brotli: 'br', zstd: 'zstd' }

const DIRECTION_COUNTERS = ['decompressed', 'not_decompressed', 'total_uncompressed_bytes', 'total_compressed_bytes'] as const
const LIBRARY_COUNTERS = {
  gzip: ['zlib_errno', 'zlib_stream_error', 'zlib_data_error', 'zlib_mem_error', 'zlib_buf_error', 'zlib_version_error'],
  brotli: ['brotli_error', 'brotli_output_overflow', 'brotli_redundant_input'],
  zstd: ['zstd_generic_error', 'zstd_dictionary_error', 'zstd_checksum_error', 'zstd_memory_error'],
} as const
/** node:zlib's code of an error -> its counter, where the library's first one does not count it. */
const ERROR_COUNTERS: Readonly<Record<string, string>> = {
  Z_STREAM_ERROR: 'zlib_stream_error',
  Z_DATA_ERROR: 'zlib_data_error',
  Z_NEED_DICT: 'zlib_data_error',
  Z_MEM_ERROR: 'zlib_mem_error',
  Z_BUF_ERROR: 'zlib_buf_error',
  Z_VERSION_ERROR: 'zlib_version_error',
  ZSTD_error_dictionary_wrong: 'zstd_dictionary_error',
  ZSTD_error_dictionary_corrupted: 'zstd_dictionary_error',
  ZSTD_error_checksum_wrong: 'zstd_checksum_error',
  ZSTD_error_memory_allocation: 'zstd_memory_error',
}
const OVERFLOW_COUNTERS = { gzip: 'zlib_data_error', brotli: 'brotli_output_overflow', zstd: 'zstd_generic_error' } as const

export function decompressorFilter(name: string, disabled: boolean, config: DecompressorConfig, ctx: FilterContext): FilterFactory {
  const compiled = new CompiledDecompressor(config, ctx)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      // What flows in a tunnel is no body.
      if (call.request.upgrade !== '' || call.request.method === 'CONNECT') return null
      return new DecompressorFilter(compiled)
    },
  }
}

class CompiledDecompressor {
  readonly config: DecompressorConfig
  readonly runtime: Runtime
  readonly coding: Encoding
  readonly maxRatio: number
  readonly request
  readonly response
  readonly lengthTrailers: readonly [compressed: string, uncompressed: string]
  private readonly errors

  constructor(config: DecompressorConfig, ctx: FilterContext) {
    const { library, statPrefix } = config
    const base = `decompressor.${statPrefix === '' ? '' : `${statPrefix}.`}${library.kind}`
    this.config = config
    this.runtime = ctx.runtime
    this.coding = CODINGS[library.kind]
    this.maxRatio = library.kind === 'gzip' ? library.maxInflateRatio : DEFAULT_MAX_RATIO
    this.request = ctx.httpCounters(`${base}.request`, DIRECTION_COUNTERS)
    this.response = ctx.httpCounters(`${base}.response`, DIRECTION_COUNTERS)
    this.errors = ctx.httpCounters<string>(`${base}.decompressor_library`, LIBRARY_COUNTERS[library.kind])
    const trailer = `x-envoy-decompressor-${statPrefix.toLowerCase()}`
    this.lengthTrailers = [`${trailer}-compressed-bytes`, `${trailer}-uncompressed-bytes`]
  }

  countError(code: string): void {
    const { kind } = this.config.library
    const name = code === OVERFLOW ? OVERFLOW_COUNTERS[kind] : (ERROR_COUNTERS[code] ?? LIBRARY_COUNTERS[kind][0])
    ;(this.errors[name] ?? this.errors[LIBRARY_COUNTERS[kind][0]]!).value++
  }

  /** Our coding is the outer one, and the message may be changed: then the head says what is left. */
  takes(head: RequestHead | ResponseHead, direction: DecompressorDirection): boolean {
    if (!flagIsOn(direction.enabled, this.runtime)) return false
    const { headers } = head
    const codings = headers.getJoined('content-encoding')
    if (codings === undefined) return false
    const comma = codings.lastIndexOf(',')
    if (
      codings
        .slice(comma + 1)
        .trim()
        .toLowerCase() !== this.coding
    )
      return false
    if (!direction.ignoreNoTransform && headers.getJoined('cache-control')?.toLowerCase().includes('no-transform') === true) return false
    const left = comma === -1 ? '' : codings.slice(0, comma).trim()
    if (left === '') headers.remove('content-encoding')
    else headers.set('content-encoding', left)
    headers.remove('content-length')
    head.contentLength = -1
    return true
  }
}

class DecompressorFilter implements StreamFilter {
  private readonly compiled: CompiledDecompressor
  private request: DecodedBody | null = null
  private response: DecodedBody | null = null

  constructor(compiled: CompiledDecompressor) {
    this.compiled = compiled
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    const { compiled } = this
    const { config, coding } = compiled
    if (config.advertise && flagIsOn(config.response.enabled, compiled.runtime)) {
      const accepted = head.headers.getJoined('accept-encoding')
      head.headers.set('accept-encoding', accepted === undefined || accepted === '' ? coding : `${accepted},${coding}`)
    }
    if (end) return 'continue'
    if (compiled.takes(head, config.request)) {
      compiled.request.decompressed.value++
      const reply = { status: 400, flag: ResponseFlag.DownstreamProtocolError }
      this.request = new DecodedBody(compiled, call, compiled.request, new RequestFlow(call, this), reply)
    } else compiled.request.not_decompressed.value++
    return 'continue'
  }

  requestData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.request === null ? chunk : this.request.write(chunk, end)
  }

  requestTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.request === null ? trailers : this.request.endWith(trailers)
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    if (end || head.upgraded) return 'continue'
    const { compiled } = this
    if (compiled.takes(head, compiled.config.response)) {
      compiled.response.decompressed.value++
      const reply = { status: 502, flag: ResponseFlag.UpstreamProtocolError }
      this.response = new DecodedBody(compiled, call, compiled.response, new ResponseFlow(call, this), reply)
    } else compiled.response.not_decompressed.value++
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
}

/** One body: what goes in, what comes out, and what is done where nothing more can. */
class DecodedBody implements CoderOwner {
  private readonly coder: StreamCoder
  private compressedBytes = 0
  private bytes = 0

  constructor(
    private readonly compiled: CompiledDecompressor,
    private readonly call: FilterCall,
    private readonly counters: CompiledDecompressor['request'],
    flow: BodyFlow,
    private readonly brokenReply: { readonly status: number; readonly flag: number },
  ) {
    this.coder = new StreamCoder(decoderStream(compiled.config.library), flow, null, this)
  }

  write(chunk: Buffer, end: boolean): null {
    this.compressedBytes += chunk.length
    this.counters.total_compressed_bytes.value += chunk.length
    this.coder.write(chunk, end)
    return null
  }

  endWith(trailers: HeaderList): null {
    this.coder.endWith(trailers)
    return null
  }

  destroy(): void {
    this.coder.destroy()
  }

  onOutput(bytes: Buffer): boolean {
    this.bytes += bytes.length
    if (this.bytes > this.compiled.maxRatio * this.compressedBytes) return false
    this.counters.total_uncompressed_bytes.value += bytes.length
    return true
  }

  endTrailers(own: HeaderList | null): HeaderList {
    const trailers = own ?? new HeaderList()
    const [compressed, uncompressed] = this.compiled.lengthTrailers
    trailers.set(compressed, String(this.compressedBytes))
    trailers.set(uncompressed, String(this.bytes))
    return trailers
  }

  onError(code: string): void {
    this.compiled.countError(code)
    const { coding, maxRatio } = this.compiled
    const { status, flag } = this.brokenReply
    if (code === OVERFLOW) {
      const text = `the ${coding} body is more than ${maxRatio} times as long as it came`
      this.call.sendReply(status === 400 ? 413 : status, text, 'decompressor_ratio_exceeded', flag)
    } else this.call.sendReply(status, `the ${coding} body is broken (${code})`, 'decompressor_error', flag)
  }
}
