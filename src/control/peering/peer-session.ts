// One open stream to a peer, the same for who dialled and who was dialled. Made by peerings.ts over a transport; says what we export, takes
// what the peer does.
//
//   hello (with the hashes of what is known) both ways -> bundle, servers, services, and each service that is not known as it is
//   -> the same again for whatever changes -> heartbeats -> the transport ends, or `terminated`
//
// Invariants: what is received is taken in order, one after the other; what the other side has by its hash is not said again, so a stream that
// comes back tells just what has changed meanwhile, and nothing of it is missed.
import { hashOf } from './exported-services.js'
import { MAX_MESSAGE_BYTES, type PeerMessage, readMessage, shortened } from './peer-messages.js'
import { MAX_IMPORT_BYTES } from './peering-table.js'
import type { ExportedService, PeerBundle } from './peering-types.js'

export interface PeerTransport {
  send(message: PeerMessage): void
  /** The owner of the session then calls `closed`. */
  end(reason: string): void
}

export interface SessionSource {
  readonly datacenter: string
  /** Ours. */
  bundle(): PeerBundle
  exports(): readonly ExportedService[]
  /** Where we are reached; undefined: we have dialled. */
  servers(): readonly string[] | undefined
  /** Hashes of what is imported of the peer. */
  have(): Readonly<Record<string, string>>
  /** The other side speaks. */
  greeted(hello: Extract<PeerMessage, { readonly kind: 'hello' }>): void
  /** Resolves once it is kept. Rejects with a reason that the peer is told. */
  take(message: PeerMessage): Promise<void>
  onProblem(reason: string): void
}

/** Of Consul's peering streams. */
const HEARTBEAT_MS = 15_000
const SILENCE_MS = 60_000
/** Changes come in bursts. */
const COALESCE_MS = 50
/** Messages that wait to be kept, and their bytes: more than a peer has to say of all that one may import. */
const MAX_WAITING = 20_000
const MAX_WAITING_BYTES = 2 * MAX_IMPORT_BYTES
/** Beside the service itself in its message. */
const ENVELOPE_BYTES = 1_024

export class PeerSession {
  lastHeartbeatMs = 0
  lastReceiveMs = 0
  lastSendMs = 0
  /** The same as `lastReceiveMs` on the monotonic clock, by which silence is measured. */
  private heardAtMs = 0
  /** Of services, as the other side was last told. */
  exported: readonly string[] = []
  private readonly transport: PeerTransport
  private readonly source: SessionSource
  private readonly heartbeat: NodeJS.Timeout
  /** Hash by service; undefined before the peer's hello. */
  private told: Map<string, string> | undefined
  /** What was told, or was known to be told already: what is the same object need not be hashed to be known as the same. */
  private toldServices: ReadonlySet<ExportedService> = new Set()
  private readonly toldRest = new Map<string, string>()
  private burst: NodeJS.Timeout | undefined
  private taking: Promise<void> = Promise.resolve()
  private waiting = 0
  private waitingBytes = 0
  private over = false

  constructor(transport: PeerTransport, source: SessionSource) {
    this.transport = transport
    this.source = source
    this.lastReceiveMs = Date.now()
    this.heardAtMs = performance.now()
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS)
    this.heartbeat.unref()
    this.send({ kind: 'hello', clockMs: Date.now(), datacenter: source.datacenter, have: source.have() })
  }

  /** Exports, roots or addresses may be others now. */
  changed(): void {
    if (this.told === undefined || this.over || this.burst !== undefined) return
    this.burst = setTimeout(() => {
      this.burst = undefined
      this.tell()
    }, COALESCE_MS)
    this.burst.unref()
  }

  /** `bytes`: of the message as it came. */
  receive(json: unknown, bytes: number): void {
    if (this.over) return
    this.lastReceiveMs = Date.now()
    this.heardAtMs = performance.now()
    let message: PeerMessage | undefined
    try {
      message = readMessage(json)
    } catch (error) {
      const service = nameIn(json)
      if (service === undefined) this.end(`a message that is not understood: ${(error as Error).message}`)
      else this.refuse(service, (error as Error).message)
      return
    }
    if (message === undefined) return
    switch (message.kind) {
      case 'heartbeat':
        this.lastHeartbeatMs = Date.now()
        return
      case 'hello':
        // Each would have all exports hashed and told again.
        if (this.told !== undefined) {
          this.end('a second hello')
          return
        }
        this.told = new Map(Object.entries(message.have))
        this.source.greeted(message)
        this.tell()
        return
      case 'refused':
        this.source.onProblem(`does not take service "${message.service}": ${message.reason}`)
        return
      default:
        this.take(message, bytes)
    }
  }

  /** Tells the peer that there is no peering any more. */
  terminate(): void {
    this.send({ kind: 'terminated' })
    this.end('')
  }

  end(reason: string): void {
    if (this.over) return
    this.closed()
    this.transport.end(reason)
  }

  /** The transport is gone. */
  closed(): void {
    this.over = true
    clearInterval(this.heartbeat)
    clearTimeout(this.burst)
  }

  private take(message: PeerMessage, bytes: number): void {
    this.waiting++
    this.waitingBytes += bytes
    if (this.waiting > MAX_WAITING || this.waitingBytes > MAX_WAITING_BYTES) {
      this.end(`more than ${MAX_WAITING} messages, or ${MAX_WAITING_BYTES / 2 ** 20} MiB, wait to be kept`)
      return
    }
    this.taking = this.taking
      .then(() => this.source.take(message))
      .catch((error: Error) => {
        if (message.kind === 'service') this.refuse(message.service.name, error.message)
        // Without it the two would not agree; the next stream says it again.
        else this.end(error.message)
      })
      .finally(() => {
        this.waiting--
        this.waitingBytes -= bytes
      })
  }

  private refuse(service: string, reason: string): void {
    this.source.onProblem(`service "${shortened(service)}" is not taken: ${reason}`)
    this.send({ kind: 'refused', service: shortened(service), reason: shortened(reason) })
  }

  private tell(): void {
    const { told } = this
    if (told === undefined || this.over) return
    this.tellIfOther({ kind: 'bundle', bundle: this.source.bundle() })
    const addresses = this.source.servers()
    if (addresses !== undefined && addresses.length > 0) this.tellIfOther({ kind: 'servers', addresses })
    const services = this.source.exports()
    this.exported = services.map(({ name }) => name)
    this.tellIfOther({ kind: 'services', names: this.exported })
    const names = new Set(this.exported)
    for (const name of told.keys()) if (!names.has(name)) told.delete(name)
    const before = this.toldServices
    this.toldServices = new Set(services)
    for (const service of services) {
      if (before.has(service)) continue
      const hash = hashOf(service)
      if (told.get(service.name) === hash) continue
      told.set(service.name, hash)
      const bytes = Buffer.byteLength(JSON.stringify(service)) + ENVELOPE_BYTES
      // The peer would end the stream for it, and the next one.
      if (bytes > MAX_MESSAGE_BYTES)
        this.source.onProblem(`service "${service.name}" is not told: a message of ${bytes} bytes, the limit is ${MAX_MESSAGE_BYTES}`)
      else this.send({ kind: 'service', service, hash })
    }
  }

  private tellIfOther(message: PeerMessage): void {
    const text = JSON.stringify(message)
    if (this.toldRest.get(message.kind) === text) return
    this.toldRest.set(message.kind, text)
    this.send(message)
  }

  private send(message: PeerMessage): void {
    if (this.over) return
    this.lastSendMs = Date.now()
    this.transport.send(message)
  }

  private beat(): void {
    if (performance.now() - this.heardAtMs > SILENCE_MS) this.end(`nothing was heard for ${SILENCE_MS / 1_000} s`)
    else this.send({ kind: 'heartbeat' })
  }
}

/** The service that a message is of, where it is of one. */
function nameIn(json: unknown): string | undefined {
  const { kind, service } = json as { readonly kind?: unknown; readonly service?: { readonly name?: unknown } | null }
  return kind === 'service' && typeof service?.name === 'string' ? service.name : undefined
}
