// Checks over HTTP/2: gRPC's own health protocol (grpc.health.v1), and a PING that must be answered. Run by health-checks.ts.
import { connect as connectHttp2, type SecureClientSessionOptions } from 'node:http2'
import { Client, credentials } from '@grpc/grpc-js'
import { TlsCredentials } from '../../../io/grpc-credentials.js'
import { serverNameOptions } from '../../../io/server-name.js'
import type { CheckDefinition } from '../check-definition.js'
import { type CheckOutcome, passing } from './check-outcome.js'

const SERVING = 1
const METHOD = '/grpc.health.v1.Health/Check'

/** `GRPC` is `host:port` or `host:port/service`. */
export function grpcCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  const slash = check.GRPC.indexOf('/')
  const target = slash < 0 ? check.GRPC : check.GRPC.slice(0, slash)
  const service = slash < 0 ? '' : check.GRPC.slice(slash + 1)
  const override = check.TLSServerName === '' ? {} : { 'grpc.ssl_target_name_override': check.TLSServerName }
  const channel = check.GRPCUseTLS ? new TlsCredentials({ rejectUnauthorized: !check.TLSSkipVerify }) : credentials.createInsecure()
  const client = new Client(target, channel, { ...override, 'grpc.enable_retries': 0 })
  return new Promise<CheckOutcome>((resolve, reject) => {
    const call = client.makeUnaryRequest(METHOD, serviceRequest, servingStatus, service, (error, status) => {
      if (error !== null) reject(error)
      else if (status === SERVING) resolve(passing(`gRPC check ${check.GRPC}: success`))
      else reject(new Error(`gRPC ${check.GRPC} serving status: ${['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'][status ?? 0]}`))
    })
    signal.addEventListener('abort', () => call.cancel(), { once: true })
  }).finally(() => client.close())
}

/** HealthCheckRequest: the service is string field 1. */
function serviceRequest(service: string): Buffer {
  const name = Buffer.from(service)
  return name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name])
}

/** HealthCheckResponse: the status is enum field 1, absent when it is 0. */
function servingStatus(message: Buffer): number {
  return message[0] === 0x08 ? (message[1] ?? 0) : 0
}

export function h2PingCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  const options: SecureClientSessionOptions = {
    rejectUnauthorized: !check.TLSSkipVerify,
    ...(check.TLSServerName === '' ? {} : serverNameOptions(check.TLSServerName)),
  }
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`${check.H2PingUseTLS ? 'https' : 'http'}://${check.H2PING}`, options)
    const abort = (): void => session.destroy(new Error('aborted'))
    signal.addEventListener('abort', abort, { once: true })
    session.once('close', () => signal.removeEventListener('abort', abort))
    session.once('error', reject)
    session.once('connect', () =>
      session.ping(error => {
        session.destroy()
        if (error === null) resolve(passing('HTTP2 ping was successful'))
        else reject(error)
      }),
    )
  })
}
