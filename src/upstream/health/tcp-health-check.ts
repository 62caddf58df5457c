// One TCP health check: connect, optionally send bytes, wait for expected bytes (envoy.config.core.v3.HealthCheck.TcpHealthCheck).
// Called by health-checker per interval. With reuse_connection a check that sends and got its answer leaves its connection to the next
// one; without bytes to send each check has its own, as a greeting comes only once.

import type { Socket } from 'node:net'
import type { Address } from '../../model/address.js'
import type { HealthCheck } from '../../model/cluster.js'
import type { Host } from '../host/host.js'
import type { CancelableCheck, HealthCheckDial, HealthCheckResult } from './health-check-transport.js'

/** Bytes kept while the expected ones have not come. */
const MAX_RECEIVED_BYTES = 64 * 1024

type TcpOutcome = { readonly kind: 'passed' } | Extract<HealthCheckResult, { kind: 'network' }>

/** The connection of a host's last check, between two checks. */
export class KeptConnection {
  private socket: Socket | null = null

  /** The open connection, taken out; null when there is none. */
  take(): Socket | null {
    const { socket } = this
    this.socket = null
    socket?.removeAllListeners('close')
    socket?.removeAllListeners('data')
    return socket === null || socket.destroyed || socket.readableEnded ? null : socket
  }

  put(socket: Socket): void {
    this.socket = socket
    socket.removeAllListeners('close')
    socket.removeAllListeners('data')
    socket.once('close', () => {
      if (this.socket === socket) this.socket = null
    })
    // Whatever comes between two checks answers neither.
    socket.on('data', () => {})
  }

  close(): void {
    this.socket?.destroy()
    this.socket = null
  }
}

/** `kept`: null where connections are not reused. */
export function tcpHealthCheck(
  host: Host,
  address: Address,
  check: Extract<HealthCheck['check'], { kind: 'tcp' }>,
  dial: HealthCheckDial,
  kept: KeptConnection | null,
  done: (outcome: TcpOutcome) => void,
): CancelableCheck {
  const reusable = kept !== null && check.send !== null && check.send.length > 0 && check.receive.length > 0
  let received = Buffer.alloc(0)
  let open: Socket | null = null
  let over = false
  const finish = (outcome: TcpOutcome | null): void => {
    if (over) return
    over = true
    if (outcome?.kind === 'passed' && reusable && open !== null) kept!.put(open)
    else open?.destroy()
    if (outcome !== null) done(outcome)
  }
  const fail = (reason: string): void => finish({ kind: 'network', timeout: false, reason })
  const use = (socket: Socket): void => {
    open = socket
    if (over) {
      socket.destroy()
      return
    }
    if (check.send !== null && check.send.length > 0) socket.write(check.send)
    if (check.receive.length === 0) {
      finish({ kind: 'passed' })
      return
    }
    socket.on('close', () => fail('connection closed'))
    socket.on('data', (chunk: Buffer) => {
      if (over) return
      received = Buffer.concat([received, chunk])
      if (containsInOrder(received, check.receive)) finish({ kind: 'passed' })
      else if (received.length > MAX_RECEIVED_BYTES) fail(`expected bytes not among the first ${MAX_RECEIVED_BYTES} (MAX_RECEIVED_BYTES)`)
    })
  }
  const reused = kept?.take() ?? null
  let dialling: CancelableCheck | null = null
  if (reused !== null) use(reused)
  else {
    dialling = dial(host, address, {
      onFailure: fail,
      onReady: socket => {
        // Stays for good: a socket may still report an error after it was destroyed. The close that follows ends the check.
        socket.on('error', () => {})
        use(socket)
      },
    })
  }
  return {
    cancel: () => {
      if (!over && open === null) dialling?.cancel()
      finish(null)
    },
  }
}

/** Each block after the one before, other bytes allowed between them (Envoy's fuzzy match). */
export function containsInOrder(received: Buffer, blocks: readonly Uint8Array[]): boolean {
  let at = 0
  for (const block of blocks) {
    const found = received.indexOf(block, at)
    if (found < 0) return false
    at = found + block.length
  }
  return true
}
