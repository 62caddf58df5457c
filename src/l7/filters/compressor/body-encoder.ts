// One body on its way through a compressor: gzip chunk by chunk where it stands, Brotli and zstd through a stream of node:zlib. Made by
// compressor.ts; both give the filter's data and trailer hooks their answers.

import zlib from 'node:zlib'
import type { Counter } from '../../../metrics/stat.js'
import type { CompressorLibrary } from '../../../model/http-filter.js'
import type { HeaderList } from '../../codec/header-list.js'
import type { BodyFlow } from '../body-flow.js'
import { GzipEncoder } from './content-encoder.js'
import { type CoderOwner, StreamCoder } from './stream-coder.js'
import { encoderStream, ZSTD_FLUSH } from './zlib-streams.js'

const EMPTY = Buffer.alloc(0)

export interface EncoderCounters {
  readonly compressed: Counter
  readonly total_uncompressed_bytes: Counter
  readonly total_compressed_bytes: Counter
}

export interface BodyEncoder {
  /** What goes on, or null: it goes on later. */
  write(chunk: Buffer, end: boolean): Buffer | null
  endWith(trailers: HeaderList): HeaderList | null
  destroy(): void
}

export function bodyEncoder(library: CompressorLibrary, flow: BodyFlow, counters: EncoderCounters): BodyEncoder {
  return library.kind === 'gzip' ? new GzipBody(new GzipEncoder(library), flow, counters) : new StreamedBody(library, flow, counters)
}

class GzipBody implements BodyEncoder {
  constructor(
    private readonly gzip: GzipEncoder,
    private readonly flow: BodyFlow,
    private readonly counters: EncoderCounters,
  ) {}

  write(chunk: Buffer, end: boolean): Buffer {
    this.counters.total_uncompressed_bytes.value += chunk.length
    const out = this.gzip.encode(chunk, end)
    this.counters.total_compressed_bytes.value += out.length
    return out
  }

  endWith(trailers: HeaderList): HeaderList {
    this.flow.emitData(this.write(EMPTY, true), false)
    return trailers
  }

  destroy(): void {}
}

class StreamedBody implements BodyEncoder, CoderOwner {
  private readonly coder: StreamCoder
  private readonly counters: EncoderCounters

  constructor(library: Exclude<CompressorLibrary, { kind: 'gzip' }>, flow: BodyFlow, counters: EncoderCounters) {
    const flush = library.kind === 'zstd' ? ZSTD_FLUSH : zlib.constants.BROTLI_OPERATION_FLUSH
    this.coder = new StreamCoder(encoderStream(library), flow, flush, this)
    this.counters = counters
  }

  write(chunk: Buffer, end: boolean): null {
    this.counters.total_uncompressed_bytes.value += chunk.length
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
    this.counters.total_compressed_bytes.value += bytes.length
    return true
  }

  endTrailers(own: HeaderList | null): HeaderList | null {
    return own
  }

  /** Compressing cannot fail but for lack of memory; the request's own timeouts then end it. */
  onError(): void {}
}
