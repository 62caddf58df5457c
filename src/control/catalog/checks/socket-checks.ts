// Checks that end where a connection stands: TCP, with TLS or without, and UDP, which fails only where the machine says that nobody is there.
// Run by health-checks.ts.
import { createSocket } from 'node:dgram'
import { connect as connectTcp, isIPv6 } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { serverNameOptions } from '../../../io/server-name.js'
import type { CheckDefinition } from '../check-definition.js'
import { type CheckOutcome, hostAndPort, passing } from './check-outcome.js'

export function tcpCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  const target = hostAndPort(check.TCP)
  return new Promise((resolve, reject) => {
    const name = serverNameOptions(check.TLSServerName || target.host)
    const socket = check.TCPUseTLS ? connectTls({ ...target, ...name, rejectUnauthorized: !check.TLSSkipVerify }) : connectTcp(target)
    const abort = (): void => void socket.destroy(new Error('aborted'))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('close', () => signal.removeEventListener('abort', abort))
    socket.once(check.TCPUseTLS ? 'secureConnect' : 'connect', () => {
      socket.destroy()
      resolve(passing(`TCP connect ${check.TCP}: Success`))
    })
    socket.once('error', reject)
  })
}

/** No answer within the check's time passes, as with Consul: a service may have nothing to say to an empty datagram. */
export function udpCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  const { host, port } = hostAndPort(check.UDP)
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', silent)
      socket.removeAllListeners()
      socket.close()
      settle()
    }
    const ok = passing(`UDP connect ${check.UDP}: Success`)
    const silent = (): void => end(() => resolve(ok))
    signal.addEventListener('abort', silent, { once: true })
    socket.once('error', error => end(() => reject(error)))
    socket.once('message', () => end(() => resolve(ok)))
    socket.connect(port, host, () => socket.send(Buffer.alloc(0)))
  })
}
