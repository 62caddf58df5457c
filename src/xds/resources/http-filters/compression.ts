// The compressor and decompressor filters with their libraries -> model. Called by http-filter.ts and http-filter-override.ts. Where the
// Node that runs has no zstd, a compressor that asks for it compresses nothing and is listed as without effect (no client may count on an
// encoding, and Istio's bootstrap has such a filter); a decompressor is refused by name, since others count on what it makes readable.

import zlib from 'node:zlib'
import type {
  CompressorConfig,
  CompressorDirection,
  CompressorLibrary,
  DecompressorConfig,
  DecompressorDirection,
  DecompressorLibrary,
} from '../../../model/http-filter.js'
import type { RuntimeFeatureFlag } from '../../gen/envoy/config/core/v3/base_pb.js'
import type { TypedExtensionConfig } from '../../gen/envoy/config/core/v3/extension_pb.js'
import { type Brotli, Brotli_EncoderMode } from '../../gen/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.js'
import type { Brotli as BrotliDecompressor } from '../../gen/envoy/extensions/compression/brotli/decompressor/v3/brotli_pb.js'
import { type Gzip, Gzip_CompressionStrategy } from '../../gen/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.js'
import type { Gzip as GzipDecompressor } from '../../gen/envoy/extensions/compression/gzip/decompressor/v3/gzip_pb.js'
import type { Zstd } from '../../gen/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.js'
import type { Zstd as ZstdDecompressor } from '../../gen/envoy/extensions/compression/zstd/decompressor/v3/zstd_pb.js'
import type {
  Compressor,
  Compressor_CommonDirectionConfig,
  CompressorPerRoute,
} from '../../gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.js'
import type {
  Decompressor,
  Decompressor_CommonDirectionConfig,
} from '../../gen/envoy/extensions/filters/http/decompressor/v3/decompressor_pb.js'
import { describeType, unpackAny } from '../any.js'
import type { Ctx } from '../field-path.js'
import { decodeStringMatchers } from '../matchers.js'
import { decodeRuntimeFlag } from '../values.js'

const COMPRESSIBLE_TYPES = [
  'application/javascript',
  'application/json',
  'application/xhtml+xml',
  'image/svg+xml',
  'text/css',
  'text/html',
  'text/plain',
  'text/xml',
]
/** zlib's default level, which DEFAULT_COMPRESSION (0) stands for. */
const ZLIB_DEFAULT_LEVEL = 6
/** zstd's. */
const ZSTD_DEFAULT_LEVEL = 3
const DEFAULT_CHUNK_BYTES = 4096
const DEFAULT_MAX_INFLATE_RATIO = 100
const PACKAGE = 'envoy.extensions.compression.'
const { constants } = zlib
const NODE_HAS_ZSTD = 'createZstdCompress' in zlib

export function decodeCompressor(config: Compressor, ctx: Ctx): CompressorConfig {
  const response = config.responseDirectionConfig
  const common = response?.commonConfig
  const requests = config.requestDirectionConfig
  return {
    library: decodeCompressorLibrary(config.compressorLibrary, ctx.at('compressor_library')),
    request:
      requests === undefined
        ? null
        : decodeDirection(requests.commonConfig, ctx.at('request_direction_config').at('common_config'), undefined, 30, []),
    response: decodeDirection(
      common,
      ctx.at('response_direction_config').at('common_config'),
      config.runtimeEnabled,
      config.contentLength ?? 30,
      config.contentType,
    ),
    disableOnEtagHeader: response?.disableOnEtagHeader ?? config.disableOnEtagHeader,
    weakenEtag: response?.weakenEtagOnCompress ?? false,
    removeAcceptEncodingHeader: response?.removeAcceptEncodingHeader ?? config.removeAcceptEncodingHeader,
    statusHeader: response?.statusHeaderEnabled ?? false,
    chooseFirst: config.chooseFirst,
    uncompressibleResponseCodes: response?.uncompressibleResponseCodes ?? [],
    statPrefix: config.compressorLibrary?.name ?? '',
    responseDirection: response !== undefined,
  }
}

/** The last three stand where the direction says nothing of its own. */
function decodeDirection(
  common: Compressor_CommonDirectionConfig | undefined,
  ctx: Ctx,
  enabled: RuntimeFeatureFlag | undefined,
  minContentLength: number,
  contentTypes: readonly string[],
): CompressorDirection {
  const types = common?.contentType.length ? common.contentType : contentTypes
  const matchers = common?.contentTypeMatcher ?? []
  return {
    enabled: decodeRuntimeFlag(common?.enabled ?? enabled),
    minContentLength: common?.minContentLength ?? minContentLength,
    contentTypes: (types.length > 0 || matchers.length > 0 ? types : COMPRESSIBLE_TYPES).map(type => type.toLowerCase()),
    contentTypeMatchers: decodeStringMatchers(matchers, ctx, 'content_type_matcher'),
  }
}

/** null where the route says nothing of it. Its response_direction_config alone switches answers on. */
export function decodeCompressorOverride({ override }: CompressorPerRoute) {
  const response = override.case === 'overrides' ? override.value.responseDirectionConfig : undefined
  return {
    disabled: override.case === 'disabled',
    kind: 'compressor' as const,
    compressesResponses: response !== undefined,
    removeAcceptEncodingHeader: response?.removeAcceptEncodingHeader ?? null,
  }
}

const GZIP_STRATEGIES: Record<Gzip_CompressionStrategy, number> = {
  [Gzip_CompressionStrategy.DEFAULT_STRATEGY]: constants.Z_DEFAULT_STRATEGY,
  [Gzip_CompressionStrategy.FILTERED]: constants.Z_FILTERED,
  [Gzip_CompressionStrategy.HUFFMAN_ONLY]: constants.Z_HUFFMAN_ONLY,
  [Gzip_CompressionStrategy.RLE]: constants.Z_RLE,
  [Gzip_CompressionStrategy.FIXED]: constants.Z_FIXED,
}
const BROTLI_MODES: Record<Brotli_EncoderMode, number> = {
  [Brotli_EncoderMode.DEFAULT]: constants.BROTLI_MODE_GENERIC,
  [Brotli_EncoderMode.GENERIC]: constants.BROTLI_MODE_GENERIC,
  [Brotli_EncoderMode.TEXT]: constants.BROTLI_MODE_TEXT,
  [Brotli_EncoderMode.FONT]: constants.BROTLI_MODE_FONT,
}

const DEFAULT_GZIP: CompressorLibrary = {
  kind: 'gzip',
  level: ZLIB_DEFAULT_LEVEL,
  windowBits: 12,
  memLevel: 5,
  strategy: constants.Z_DEFAULT_STRATEGY,
  chunkBytes: DEFAULT_CHUNK_BYTES,
}

/** Null: the Node that runs has it not. */
function decodeCompressorLibrary(extension: TypedExtensionConfig | undefined, ctx: Ctx): CompressorLibrary | null {
  if (extension?.typedConfig === undefined) return DEFAULT_GZIP // the constraint has reported it
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message, known } = unpackAny(extension.typedConfig, at)
  switch (message === null ? '' : typeName.slice(PACKAGE.length)) {
    case 'gzip.compressor.v3.Gzip': {
      const { compressionLevel, windowBits, memoryLevel, compressionStrategy, chunkSize } = message as Gzip
      return {
        kind: 'gzip',
        level: compressionLevel === 0 ? ZLIB_DEFAULT_LEVEL : compressionLevel,
        windowBits: windowBits ?? 12,
        memLevel: memoryLevel ?? 5,
        strategy: GZIP_STRATEGIES[compressionStrategy] ?? constants.Z_DEFAULT_STRATEGY,
        chunkBytes: chunkSize ?? DEFAULT_CHUNK_BYTES,
      }
    }
    case 'brotli.compressor.v3.Brotli': {
      const brotli = message as Brotli
      return {
        kind: 'brotli',
        quality: brotli.quality ?? 3,
        windowBits: brotli.windowBits ?? 18,
        mode: BROTLI_MODES[brotli.encoderMode] ?? constants.BROTLI_MODE_GENERIC,
        inputBlockBits: brotli.inputBlockBits ?? 24,
        literalContextModeling: !brotli.disableLiteralContextModeling,
        chunkBytes: brotli.chunkSize ?? DEFAULT_CHUNK_BYTES,
      }
    }
    case 'zstd.compressor.v3.Zstd': {
      const { compressionLevel, enableChecksum, strategy, chunkSize } = message as Zstd
      if (!NODE_HAS_ZSTD) {
        at.unsupported()
        return null
      }
      return {
        kind: 'zstd',
        level: compressionLevel ?? ZSTD_DEFAULT_LEVEL,
        checksum: enableChecksum,
        strategy,
        chunkBytes: chunkSize ?? DEFAULT_CHUNK_BYTES,
      }
    }
    default:
      if (message !== null || !known) at.error(`unknown compressor library '${extension.name}' (${describeType(typeUrl)})`)
      return DEFAULT_GZIP
  }
}

export function decodeDecompressor(config: Decompressor, ctx: Ctx): DecompressorConfig {
  return {
    library: decodeDecompressorLibrary(config.decompressorLibrary, ctx.at('decompressor_library')),
    request: decodeDecompressorDirection(config.requestDirectionConfig?.commonConfig),
    response: decodeDecompressorDirection(config.responseDirectionConfig?.commonConfig),
    advertise: config.requestDirectionConfig?.advertiseAcceptEncoding ?? true,
    statPrefix: config.decompressorLibrary?.name ?? '',
  }
}

function decodeDecompressorDirection(common: Decompressor_CommonDirectionConfig | undefined): DecompressorDirection {
  return { enabled: decodeRuntimeFlag(common?.enabled), ignoreNoTransform: common?.ignoreNoTransformHeader ?? false }
}

function decodeDecompressorLibrary(extension: TypedExtensionConfig | undefined, ctx: Ctx): DecompressorLibrary {
  const fallback = { kind: 'brotli', chunkBytes: DEFAULT_CHUNK_BYTES } as const
  if (extension?.typedConfig === undefined) return fallback // the constraint has reported it
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message, known } = unpackAny(extension.typedConfig, at)
  switch (message === null ? '' : typeName.slice(PACKAGE.length)) {
    case 'gzip.decompressor.v3.Gzip': {
      const { windowBits, chunkSize, maxInflateRatio } = message as GzipDecompressor
      return {
        kind: 'gzip',
        windowBits: windowBits ?? 15,
        chunkBytes: chunkSize ?? DEFAULT_CHUNK_BYTES,
        maxInflateRatio: maxInflateRatio ?? DEFAULT_MAX_INFLATE_RATIO,
      }
    }
    case 'brotli.decompressor.v3.Brotli':
      return { kind: 'brotli', chunkBytes: (message as BrotliDecompressor).chunkSize ?? DEFAULT_CHUNK_BYTES }
    case 'zstd.decompressor.v3.Zstd':
      if (!NODE_HAS_ZSTD) at.error(`zstd is not in this Node (${process.version}): it came with Node 22.15`)
      return { kind: 'zstd', chunkBytes: (message as ZstdDecompressor).chunkSize ?? DEFAULT_CHUNK_BYTES }
    default:
      if (message !== null || !known) at.error(`unknown decompressor library '${extension.name}' (${describeType(typeUrl)})`)
      return fallback
  }
}
