// One stream of the Workload API, kept open: asked for anew when it ends, later each time while nothing comes (SPIFFE Workload Endpoint,
// section 6). Made by WorkloadApiClient, which reads the messages. Invariant: every call carries the header by which the endpoint knows that
// no tricked HTTP client asks; what a retry cannot mend (INVALID_ARGUMENT, UNIMPLEMENTED) is not retried.
//
//   stopped --start--> open --ends--> waiting (backoff) --timer--> open        open --INVALID_ARGUMENT, UNIMPLEMENTED--> given up

import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import type { ChannelCredentials, Client, ClientReadableStream, StatusObject } from '@grpc/grpc-js'
import { fullJitterMs } from '../../io/backoff.js'
import { NO_TIMER, type Timer, type WallClock } from '../../io/clock.js'
import { type AdsTarget, CHANNEL_DEFAULTS } from '../../xds/client/client-options.js'
import { GRPC_STATUS } from '../../xds/client/client-status.js'

const SECURITY_HEADER = 'workload.spiffe.io'
const BASE_WAIT_MS = 500
const MAX_WAIT_MS = 30_000
const NO_BYTES = Buffer.alloc(0)

/** How a stream ended: `denied` says that the workload has no identity (any more), `final` that it is not asked for again. */
export interface StreamEnd {
  readonly code: number
  readonly reason: string
  readonly denied: boolean
  readonly final: boolean
  /** Until the next attempt; null: there is none. */
  readonly retryInMs: number | null
}

export interface WorkloadStreamOptions<S extends DescMessage> {
  readonly targets: readonly AdsTarget[]
  /** Of the service, which has no package. */
  readonly method: string
  readonly response: S
  readonly onMessage: (message: MessageShape<S>) => void
  readonly onEnd: (end: StreamEnd) => void
  readonly clock: WallClock
  readonly random: () => number
}

export class WorkloadStream<S extends DescMessage> {
  private running = false
  private client: Client | null = null
  private call: ClientReadableStream<MessageShape<S>> | null = null
  private timer: Timer = NO_TIMER
  private failures = 0
  private attempts = 0

  constructor(private readonly options: WorkloadStreamOptions<S>) {}

  start(): void {
    if (this.running) return
    this.running = true
    void this.open()
  }

  close(): void {
    this.running = false
    this.timer.cancel()
    this.call?.cancel()
    this.call = null
    this.client?.close()
    this.client = null
  }

  private async open(): Promise<void> {
    const { targets, method, response, onMessage } = this.options
    const target = targets[this.attempts++ % targets.length]!
    const grpc = await import('../../xds/client/grpc-client.js')
    let credentials: ChannelCredentials
    try {
      credentials = (await target.credentials?.()) ?? grpc.credentials.createInsecure()
    } catch (error) {
      if (this.running) this.ended(GRPC_STATUS.UNAVAILABLE, (error as Error).message)
      return
    }
    if (!this.running) return
    this.client = new grpc.Client(target.address, credentials, { ...CHANNEL_DEFAULTS, ...target.channelOptions })
    const metadata = new grpc.Metadata()
    metadata.set(SECURITY_HEADER, 'true')
    const call = this.client.makeServerStreamRequest(
      `/SpiffeWorkloadAPI/${method}`,
      () => NO_BYTES,
      bytes => fromBinary(response, bytes),
      null,
      metadata,
    )
    this.call = call
    call.on('data', (message: MessageShape<S>) => {
      if (this.call !== call) return
      this.failures = 0
      onMessage(message)
    })
    call.on('error', () => {}) // the status event says the same
    call.on('status', ({ code, details }: StatusObject) => {
      if (this.call === call) this.ended(code, details)
    })
  }

  private ended(code: number, reason: string): void {
    const { onEnd, clock, random } = this.options
    this.call = null
    this.client?.close()
    this.client = null
    const final = code === GRPC_STATUS.INVALID_ARGUMENT || code === GRPC_STATUS.UNIMPLEMENTED
    const retryInMs = final ? null : Math.round(fullJitterMs(this.failures++, BASE_WAIT_MS, MAX_WAIT_MS, random))
    if (retryInMs !== null) this.timer = clock.after(retryInMs, () => void this.open())
    onEnd({ code, reason, denied: code === GRPC_STATUS.PERMISSION_DENIED, final, retryInMs })
  }
}
