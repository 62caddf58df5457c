// A client that speaks HTTP/2 by frames over a real socket, and does nothing by itself but acknowledge SETTINGS: for what nghttp2 would
// do on its own, such as answering a PING or refusing a request after GOAWAY. It keeps every frame that came, whole ones only.
import net, { type Socket } from 'node:net'
import { type Frame, frame, parseFrames, SETTINGS_ACK, settings } from './http2-frames.js'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const WITHIN_MS = 40_000

export class Http2FrameClient {
  readonly frames: Frame[] = []
  readonly closed: Promise<void>
  private readonly socket: Socket
  private held = Buffer.alloc(0)
  private readonly waiting = new Set<() => void>()

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    this.closed = new Promise(resolve => socket.once('close', () => resolve()))
    socket.on('data', chunk => this.take(chunk))
    this.write(Buffer.from(PREFACE), settings())
  }

  static async connect(port: number): Promise<Http2FrameClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new Http2FrameClient(socket)
  }

  write(...frames: Buffer[]): void {
    this.socket.write(Buffer.concat(frames))
  }

  acknowledgePing(ping: Frame): void {
    this.write(frame(6, 1, 0, ping.payload))
  }

  /** The first value of `find` over the frames so far that is neither null nor false. */
  until<T>(what: string, find: (frames: readonly Frame[]) => T | null | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.waiting.delete(check)
      }
      const check = (): void => {
        const found = find(this.frames)
        if (found === null || found === false) return
        done()
        resolve(found)
      }
      const timer = setTimeout(() => {
        done()
        reject(
          new Error(
            `not within ${WITHIN_MS} ms: ${what}; frames so far: ${this.frames.map(one => `${one.type}/${one.streamId}`).join(' ')}`,
          ),
        )
      }, WITHIN_MS)
      this.waiting.add(check)
      check()
    })
  }

  /** The last stream ids of the GOAWAYs that came. */
  get lastIds(): number[] {
    return this.frames.flatMap(one => (one.type === 7 ? [one.payload.readUInt32BE(0)] : []))
  }

  /** What came of a stream's body. */
  body(streamId: number): string {
    return Buffer.concat(this.frames.flatMap(one => (one.type === 0 && one.streamId === streamId ? [one.payload] : []))).toString()
  }

  private take(chunk: Buffer): void {
    this.held = Buffer.concat([this.held, chunk])
    let end = 0
    while (this.held.length >= end + 9 && this.held.length >= end + 9 + this.held.readUIntBE(end, 3))
      end += 9 + this.held.readUIntBE(end, 3)
    const whole = parseFrames(this.held.subarray(0, end))
    this.held = this.held.subarray(end)
    for (const one of whole) if (one.type === 4 && (one.flags & 1) === 0) this.write(SETTINGS_ACK)
    this.frames.push(...whole)
    for (const check of this.waiting) check()
  }
}
