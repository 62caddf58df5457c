// Decides when a peer's frames, each legal by itself, amount to an attack. Called by connection.ts for each frame and each stream that
// ends; it only counts and says which limit was passed, in Envoy's stat names. The first four limits are Envoy's own with its
// formulas (http2_protocol_options max_outbound_frames, max_outbound_control_frames, max_consecutive_inbound_frames_with_empty_payload,
// max_inbound_priority_frames_per_stream, max_inbound_window_update_frames_per_data_frame_sent); resets follow Envoy's rule for
// premature resets, per connection, and count resets that the peer provoked like its own (MadeYouReset).

import type { Http2Options } from '../../../model/http-connection-manager.js'
import type { FrameWriter } from './frames.js'

/** Envoy's 40-odd bytes per frame aside, this is the most output that may wait for a peer that does not read. */
const MAX_OUTBOUND_BYTES = 16 * 1024 * 1024
/** Frames without effect (unknown types, stray acknowledgements, frames for ended streams) since the last HEADERS or content. */
const MAX_IDLE_FRAMES = 1000
/** Header blocks on streams that are over: what follows a reset (interim responses, head, trailers) may still be on its way. */
const MAX_LATE_HEADERS = 100
const LATE_HEADERS_PER_RESET = 4
/** A stream that is reset sooner than this was reset prematurely, as in Envoy (premature_reset_min_stream_lifetime_seconds). */
const PREMATURE_MS = 1000
/** Premature resets within one second, when they are also more than half of the streams opened in it. */
const MAX_PREMATURE_PER_SECOND = 100
/** Streams looked back on: more than half of them premature is too many, as in Envoy (premature_reset_total_stream_count). */
const LOOK_BACK_STREAMS = 500

/** A limit that was passed. `stat`: Envoy's counter name. */
export interface Flood {
  readonly stat: string
  readonly details: string
  readonly message: string
}

export class FloodGuard {
  private emptyFrames = 0
  private priorityFrames = 0
  private windowUpdateFrames = 0
  private idleFrames = 0
  private lateHeaderBlocks = 0
  openedStreams = 0
  /** RST_STREAM frames that we wrote. */
  resetsSent = 0
  private windowStart = 0
  private windowOpened = 0
  private windowPremature = 0
  /** 1 for each of the last streams that was reset prematurely; a ring, made with the first reset. */
  private lookBack: Uint8Array | null = null
  private lookBackAt = 0
  private lookBackFilled = 0
  private lookBackPremature = 0

  constructor(
    private readonly options: Http2Options,
    private readonly writer: FrameWriter,
  ) {}

  streamOpened(now: number): void {
    this.openedStreams++
    this.idleFrames = 0
    if (now - this.windowStart >= 1000) {
      this.windowStart = now
      this.windowOpened = 0
      this.windowPremature = 0
    }
    this.windowOpened++
  }

  /** A HEADERS, CONTINUATION or DATA frame; `empty`: no content and no END_STREAM. CVE-2019-9516, CVE-2019-9518. */
  messageFrame(empty: boolean): Flood | null {
    if (!empty) {
      this.emptyFrames = 0
      this.idleFrames = 0
      return null
    }
    if (++this.emptyFrames <= this.options.maxConsecutiveInboundFramesWithEmptyPayload) return null
    return flood('inbound_empty_frames_flood', 'max_consecutive_inbound_frames_with_empty_payload', this.emptyFrames)
  }

  /** CVE-2019-9513. */
  priorityFrame(): Flood | null {
    const most = this.options.maxInboundPriorityFramesPerStream * (1 + this.openedStreams)
    if (++this.priorityFrames <= most) return null
    return flood('inbound_priority_frames_flood', 'max_inbound_priority_frames_per_stream', this.priorityFrames)
  }

  windowUpdateFrame(): Flood | null {
    const perData = this.options.maxInboundWindowUpdateFramesPerDataFrameSent
    const most = 5 + 2 * (this.openedStreams + perData * this.writer.dataFrames)
    if (++this.windowUpdateFrames <= most) return null
    return flood('inbound_window_update_frames_flood', 'max_inbound_window_update_frames_per_data_frame_sent', this.windowUpdateFrames)
  }

  /** CVE-2026-48619: frames that are ignored, without end. */
  idleFrame(): Flood | null {
    if (++this.idleFrames <= MAX_IDLE_FRAMES) return null
    return flood('inbound_idle_frames_flood', 'the limit of ignored frames', this.idleFrames)
  }

  /** A header block for a stream that is over: decoded for the table's sake, and not forgotten when content comes between. */
  lateHeaders(): Flood | null {
    if (++this.lateHeaderBlocks <= MAX_LATE_HEADERS + LATE_HEADERS_PER_RESET * this.resetsSent) return null
    return flood('inbound_idle_frames_flood', 'the limit of header blocks on closed streams', this.lateHeaderBlocks)
  }

  /** Whether the peer lets our answers pile up. CVE-2019-9512, -9515 (acknowledgements), -9514, -9517 (anything). */
  outbound(): Flood | null {
    const writer = this.writer
    if (writer.pendingControlFrames > this.options.maxOutboundControlFrames) {
      return flood('outbound_control_flood', 'max_outbound_control_frames', writer.pendingControlFrames)
    }
    if (writer.pendingFrames > this.options.maxOutboundFrames) return flood('outbound_flood', 'max_outbound_frames', writer.pendingFrames)
    if (writer.blocked && writer.pendingBytes > MAX_OUTBOUND_BYTES) {
      return flood('outbound_flood', 'the limit of outbound bytes', writer.pendingBytes)
    }
    return null
  }

  /**
   * A stream of the peer ended. `cut`: by a reset of the peer's before our response was complete, or by one of ours that the peer
   * provoked. CVE-2023-44487 rapid reset, CVE-2025-8671 MadeYouReset.
   */
  streamEnded(cut: boolean, openedAt: number, now: number): Flood | null {
    const premature = cut && now - openedAt < PREMATURE_MS
    if (this.lookBack === null) {
      if (!premature) return null
      this.lookBack = new Uint8Array(LOOK_BACK_STREAMS)
    }
    this.lookBackPremature += (premature ? 1 : 0) - this.lookBack[this.lookBackAt]!
    this.lookBack[this.lookBackAt] = premature ? 1 : 0
    this.lookBackAt = (this.lookBackAt + 1) % LOOK_BACK_STREAMS
    if (this.lookBackFilled < LOOK_BACK_STREAMS) this.lookBackFilled++
    if (!premature) return null
    this.windowPremature++
    const tooManyNow = this.windowPremature > MAX_PREMATURE_PER_SECOND && this.windowPremature * 2 > this.windowOpened
    const tooManyLately = this.lookBackFilled === LOOK_BACK_STREAMS && this.lookBackPremature * 2 > LOOK_BACK_STREAMS
    if (!tooManyNow && !tooManyLately) return null
    return flood(
      'downstream_rq_too_many_premature_resets',
      'the limit of premature resets',
      tooManyNow ? this.windowPremature : this.lookBackPremature,
    )
  }
}

function flood(stat: string, limit: string, count: number): Flood {
  return {
    stat,
    details: `http2.${stat === 'outbound_flood' ? 'outbound_frames_flood' : stat}`,
    message: `${count} frames or streams exceed ${limit}`,
  }
}
