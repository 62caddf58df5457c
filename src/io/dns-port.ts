// The sockets of a DNS server: UDP and TCP on one port, messages framed, connections and what they may hold bounded. Who answers is the caller's:
// control/dns' server, and the dataplane's proxy (src/dataplane), which asks a control plane. A message is answered once, or in silence.
// HOT: of a UDP answer's 40 µs most is in the two system calls; nothing here is asynchronous before the caller is.
import dgram from 'node:dgram'
import net from 'node:net'

export type SendDns = (message: Buffer) => void

/** Answers by `send`, or not at all; a promise where that takes time. */
export type HandleDns = (message: Buffer, tcp: boolean, send: SendDns) => void | Promise<void>

const MAX_TCP_CONNECTIONS = 1_024
const TCP_IDLE_MS = 30_000
/** Queries of one TCP connection that wait for others; it is not read from beyond that. */
const MAX_PIPELINED = 64
const UDP_RECEIVE_BYTES = 1 << 20
const LENGTH_BYTES = 2
const EMPTY = Buffer.alloc(0)

export class DnsPort {
  private readonly handle: HandleDns
  private readonly onProblem: (reason: string) => void
  private readonly connections = new Set<net.Socket>()
  private udp: dgram.Socket | undefined
  private tcp: net.Server | undefined

  constructor(handle: HandleDns, onProblem: (reason: string) => void) {
    this.handle = handle
    this.onProblem = onProblem
  }

  /** Resolves with the port as bound, the same for UDP and TCP. Rejects with the reason when it can't be had. */
  async listen(host: string, port: number): Promise<number> {
    this.tcp = net.createServer(socket => this.accept(socket))
    this.tcp.maxConnections = MAX_TCP_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      this.tcp!.once('error', reject)
      this.tcp!.listen(port, host, resolve)
    })
    const bound = (this.tcp.address() as net.AddressInfo).port
    const family = net.isIPv6(host) ? 6 : 4
    const udp = dgram.createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      recvBufferSize: UDP_RECEIVE_BYTES,
      // Who asked is an address already: nothing is to be looked up, and no turn to be waited for.
      lookup: (address, _options, callback) => callback(null, address, family),
    })
    this.udp = udp
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject)
      udp.bind(bound, host, resolve)
    })
    udp.removeAllListeners('error')
    udp.on('error', error => this.onProblem(error.message))
    udp.on('message', (bytes, from) =>
      // The socket's send copies nothing: the message must not be written over before it is gone. One that was closed meanwhile sends nothing.
      this.handle(bytes, false, message => this.udp?.send(Buffer.from(message), from.port, from.address)),
    )
    return bound
  }

  async close(): Promise<void> {
    const { udp, tcp } = this
    this.udp = undefined
    for (const socket of this.connections) socket.destroy()
    await new Promise<void>(resolve => (udp === undefined ? resolve() : udp.close(() => resolve())))
    await new Promise<void>(resolve => (tcp?.listening ? tcp.close(() => resolve()) : resolve()))
  }

  private accept(socket: net.Socket): void {
    this.connections.add(socket)
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.connections.delete(socket))
    let received = EMPTY
    let pending = 0
    const send: SendDns = message => {
      if (!socket.writable) return
      const framed = Buffer.allocUnsafe(LENGTH_BYTES + message.length)
      framed.writeUInt16BE(message.length)
      message.copy(framed, LENGTH_BYTES)
      socket.write(framed)
    }
    const drain = (): void => {
      while (pending < MAX_PIPELINED && received.length >= LENGTH_BYTES && received.length >= LENGTH_BYTES + received.readUInt16BE(0)) {
        const end = LENGTH_BYTES + received.readUInt16BE(0)
        const message = received.subarray(LENGTH_BYTES, end)
        received = received.subarray(end)
        const waiting = this.handle(message, true, send)
        if (waiting === undefined) continue
        pending++
        void waiting.then(() => {
          pending--
          drain()
        })
      }
      // A client that does not read its answers is not read from either.
      if (pending < MAX_PIPELINED && !socket.writableNeedDrain) socket.resume()
      else socket.pause()
    }
    socket.on('drain', drain)
    socket.on('data', chunk => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      drain()
    })
  }
}
