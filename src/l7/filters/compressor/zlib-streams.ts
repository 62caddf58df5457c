// The streams of node:zlib that code and decode bodies, by library. zstd came with Node 22.15 and is refused by name where the Node that
// runs has none (its decoder looks). Called by the compressor and the decompressor.

import zlib from 'node:zlib'
import type { CompressorLibrary, DecompressorLibrary } from '../../../model/http-filter.js'
import type { ZlibStream } from './stream-coder.js'

/** Part of node:zlib from Node 22.15 on. */
interface ZstdLibrary {
  createZstdCompress?(options: { chunkSize: number; params: Record<number, number> }): ZlibStream
  createZstdDecompress?(options: { chunkSize: number }): ZlibStream
}
const zstd = zlib as ZstdLibrary

/** Numbers of zstd's API (zstd.h), which node:zlib's constants repeat. */
const ZSTD_COMPRESSION_LEVEL = 100
const ZSTD_STRATEGY = 107
const ZSTD_CHECKSUM_FLAG = 201
export const ZSTD_FLUSH = 1

export function encoderStream(library: Exclude<CompressorLibrary, { kind: 'gzip' }>): ZlibStream {
  const { constants } = zlib
  if (library.kind === 'brotli') {
    return zlib.createBrotliCompress({
      chunkSize: library.chunkBytes,
      params: {
        [constants.BROTLI_PARAM_QUALITY]: library.quality,
        [constants.BROTLI_PARAM_LGWIN]: library.windowBits,
        [constants.BROTLI_PARAM_LGBLOCK]: library.inputBlockBits,
        [constants.BROTLI_PARAM_MODE]: library.mode,
        [constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: library.literalContextModeling ? 0 : 1,
      },
    })
  }
  const params: Record<number, number> = {
    [ZSTD_COMPRESSION_LEVEL]: library.level,
    [ZSTD_CHECKSUM_FLAG]: library.checksum ? 1 : 0,
  }
  if (library.strategy !== 0) params[ZSTD_STRATEGY] = library.strategy
  return zstd.createZstdCompress!({ chunkSize: library.chunkBytes, params })
}

export function decoderStream(library: DecompressorLibrary): ZlibStream {
  switch (library.kind) {
    case 'gzip':
      return zlib.createGunzip({ windowBits: library.windowBits, chunkSize: library.chunkBytes })
    case 'brotli':
      return zlib.createBrotliDecompress({ chunkSize: library.chunkBytes })
    case 'zstd':
      return zstd.createZstdDecompress!({ chunkSize: library.chunkBytes })
  }
}
