// One TCP health check: connect, optionally send bytes, wait for expected bytes (envoy.config.core.v3.HealthCheck.TcpHealthCheck).
// Called by health-checker per interval. Every check has its own connection, whatever reuse_connection says: a check that proves the
// endpoint accepts connections is worth more than the handshake it saves.

import type { Socket } from 'node:net'
import type { Address } from '../model/address.js'
import type { HealthCheck } from '../model/cluster.js'
import type { CancelableCheck, HealthCheckDial, HealthCheckResult } from './health-check-transport.js'
import type { Host } from './host.js'

/** Bytes kept while the expected ones have not come. */
const maxReceivedBytes = 64 * 1024

type TcpOutcome = { readonly kind: 'passed' } | Extract<HealthCheckResult, { kind: 'network' }>

export function tcpHealthCheck(
  host: Host,
  address: Address,
  check: Extract<HealthCheck['check'], { kind: 'tcp' }>,
  dial: HealthCheckDial,
  done: (outcome: TcpOutcome) => void,
): CancelableCheck {
  let received = Buffer.alloc(0)
  let open: Socket | null = null
  let over = false
  const finish = (outcome: TcpOutcome | null): void => {
    if (over) return
    over = true
    open?.destroy()
    if (outcome !== null) done(outcome)
  }
  const fail = (reason: string): void => finish({ kind: 'network', timeout: false, reason })
  const dialling = dial(host, address, {
    onFailure: fail,
    onReady: socket => {
      open = socket
      // Stays for good: a socket may still report an error after it was destroyed.
      socket.on('error', error => fail(error.message))
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
        else if (received.length > maxReceivedBytes) fail(`expected bytes not among the first ${maxReceivedBytes} (maxReceivedBytes)`)
      })
    },
  })
  return {
    cancel: () => {
      if (!over && open === null) dialling.cancel()
      finish(null)
    },
  }
}

/** Each block after the one before, other bytes allowed between them (Envoy's fuzzy match). */
function containsInOrder(received: Buffer, blocks: readonly Uint8Array[]): boolean {
  let at = 0
  for (const block of blocks) {
    const found = received.indexOf(block, at)
    if (found < 0) return false
    at = found + block.length
  }
  return true
}
