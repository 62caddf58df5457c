// SETTINGS (RFC 9113 §6.5): what we announce, and the reading of what the peer announces. Called by connection.ts.

import type { Http2Options } from '../../../model/http-connection-manager.js'
import { DEFAULT_MAX_FRAME_SIZE, ErrorCode, MAX_31_BIT } from './frames.js'
import { DEFAULT_TABLE_SIZE } from './hpack-decoder.js'

export const SettingId = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
  /** RFC 8441. */
  ENABLE_CONNECT_PROTOCOL: 0x8,
  /** RFC 9218. */
  NO_RFC7540_PRIORITIES: 0x9,
} as const

/** Protocol default of both kinds of window. */
export const DEFAULT_WINDOW = 65535

// Windows are what the peer may make us hold for streams that are paused, so they are bounded whatever the config says: at 1 ms of
// round trip a 1 MiB window still carries 1 GB/s. They are never below the protocol's default (nor is Envoy's), so that what a peer sends
// before it has read our SETTINGS is within them.
const MAX_STREAM_WINDOW = 1024 * 1024
const MAX_CONNECTION_WINDOW = 8 * 1024 * 1024
const MAX_HPACK_TABLE_BYTES = 65536

/** Our side's settings, bounded. */
export interface LocalSettings {
  readonly headerTableSize: number
  readonly maxConcurrentStreams: number
  readonly streamWindow: number
  readonly connectionWindow: number
  readonly connectProtocol: boolean
}

export function localSettings(options: Http2Options): LocalSettings {
  return {
    headerTableSize: Math.min(options.hpackTableSize, MAX_HPACK_TABLE_BYTES),
    maxConcurrentStreams: Math.min(options.maxConcurrentStreams, MAX_31_BIT),
    streamWindow: Math.max(DEFAULT_WINDOW, Math.min(options.initialStreamWindowSize, MAX_STREAM_WINDOW)),
    connectionWindow: Math.max(DEFAULT_WINDOW, Math.min(options.initialConnectionWindowSize, MAX_CONNECTION_WINDOW)),
    connectProtocol: options.allowConnect,
  }
}

/** Identifier, value, … of our SETTINGS frame; defaults are left out. */
export function settingsEntries(settings: LocalSettings, role: 'client' | 'server'): number[] {
  const entries: number[] = []
  if (settings.headerTableSize !== DEFAULT_TABLE_SIZE) entries.push(SettingId.HEADER_TABLE_SIZE, settings.headerTableSize)
  if (role === 'client') entries.push(SettingId.ENABLE_PUSH, 0)
  else entries.push(SettingId.MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams)
  if (settings.streamWindow !== DEFAULT_WINDOW) entries.push(SettingId.INITIAL_WINDOW_SIZE, settings.streamWindow)
  if (role === 'server' && settings.connectProtocol) entries.push(SettingId.ENABLE_CONNECT_PROTOCOL, 1)
  return entries
}

/** The peer's settings as they stand. */
export class PeerSettings {
  headerTableSize: number = DEFAULT_TABLE_SIZE
  maxConcurrentStreams: number = MAX_31_BIT
  initialWindowSize: number = DEFAULT_WINDOW
  maxFrameSize: number = DEFAULT_MAX_FRAME_SIZE
  connectProtocol = false

  /**
   * Take one entry. Returns '' or, for a value that ends the connection, the reason (the code is then in `errorCode`).
   * Unknown identifiers are ignored (§6.5.2).
   */
  apply(role: 'client' | 'server', id: number, value: number): string {
    switch (id) {
      case SettingId.HEADER_TABLE_SIZE:
        this.headerTableSize = value
        return ''
      case SettingId.ENABLE_PUSH:
        if (value > 1 || (role === 'client' && value === 1)) return this.fail(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH of ${value}`)
        return ''
      case SettingId.MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value
        return ''
      case SettingId.INITIAL_WINDOW_SIZE:
        if (value > MAX_31_BIT) return this.fail(ErrorCode.FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE of ${value}`)
        this.initialWindowSize = value
        return ''
      case SettingId.MAX_FRAME_SIZE:
        if (value < 16384 || value > 16777215) return this.fail(ErrorCode.PROTOCOL_ERROR, `MAX_FRAME_SIZE of ${value}`)
        this.maxFrameSize = value
        return ''
      case SettingId.ENABLE_CONNECT_PROTOCOL:
        if (value > 1 || (this.connectProtocol && value === 0)) {
          return this.fail(ErrorCode.PROTOCOL_ERROR, `ENABLE_CONNECT_PROTOCOL of ${value}`)
        }
        this.connectProtocol = value === 1
        return ''
      case SettingId.NO_RFC7540_PRIORITIES:
        return value > 1 ? this.fail(ErrorCode.PROTOCOL_ERROR, `NO_RFC7540_PRIORITIES of ${value}`) : ''
      default:
        return ''
    }
  }

  /** HTTP/2 error code of the last failed `apply`. */
  errorCode: number = ErrorCode.NO_ERROR

  private fail(code: number, reason: string): string {
    this.errorCode = code
    return reason
  }
}
