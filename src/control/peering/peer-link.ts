// Keeps a stream to a peer that we dial open: dials, and after a loss dials again, later each time. Made by peerings.ts for each such peering.
//
//   dialling -> open -> lost -> waiting -> dialling ...        stop() ends it; a peer that knows us no more ends it too
import { dialPeer, type PeerError, type PeerServers } from './peer-dialer.js'
import { STREAM_METHOD, type StreamOpening } from './peer-messages.js'
import type { PeerSession, PeerTransport } from './peer-session.js'

export interface PeerLinkOptions {
  servers(): PeerServers
  readonly opening: StreamOpening
  open(transport: PeerTransport): PeerSession
  /** The peer is reached and does not want us. True: there is no use in coming again. */
  refused(error: PeerError): boolean
  onLost(session: PeerSession | undefined, reason: string): void
}

const RETRY_BASE_MS = 250
const RETRY_MAX_MS = 15_000

export class PeerLink {
  private readonly options: PeerLinkOptions
  private timer: NodeJS.Timeout | undefined
  private attempt = 0
  private close = (): void => {}
  private stopped = false

  constructor(options: PeerLinkOptions) {
    this.options = options
    void this.dial()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
    this.close()
  }

  private async dial(): Promise<void> {
    const { options } = this
    let session: PeerSession | undefined
    let lost: PeerError | undefined
    try {
      const stream = await dialPeer(options.servers(), STREAM_METHOD, {
        onMessage: (json, bytes) => {
          this.attempt = 0
          session?.receive(json, bytes)
        },
        onClosed: error => {
          session?.closed()
          lost = error
          if (session !== undefined) this.again(error, session)
        },
      })
      if (this.stopped) return stream.close()
      // It may have been lost while the promise of it resolved.
      if (lost !== undefined) return this.again(lost, undefined)
      this.close = () => stream.close()
      stream.send(options.opening)
      session = options.open({ send: message => stream.send(message), end: () => stream.close() })
    } catch (error) {
      this.again(error as PeerError, undefined)
    }
  }

  private again(error: PeerError, session: PeerSession | undefined): void {
    if (this.stopped) return
    this.close = () => {}
    this.options.onLost(session, error.message)
    if (error.status !== undefined && this.options.refused(error)) return
    const longest = Math.min(RETRY_BASE_MS * 2 ** this.attempt++, RETRY_MAX_MS)
    this.timer = setTimeout(() => void this.dial(), longest * (0.5 + Math.random() / 2))
    this.timer.unref()
  }
}
