// What active health checks need of the network. The HTTP and gRPC exchanges are l7's (it has codecs and TLS); the TCP check here only
// needs a dialled socket. health-checker calls these; the proxy wires them in (`upstream/connect/connector` dials with TLS).

import type { Socket } from 'node:net'
import type { Address } from '../../model/address.js'
import type { HealthCheck } from '../../model/cluster.js'
import type { Host } from '../host/host.js'

export interface HealthCheckRequest {
  readonly host: Host
  /** With the health check's own port, where one is set. */
  readonly address: Address
  readonly check: Extract<HealthCheck['check'], { kind: 'http' | 'grpc' }>
  /** Value for Host / :authority. */
  readonly authority: string
  readonly reuseConnection: boolean
  readonly timeoutMs: number
}

export type HealthCheckResult =
  | {
      readonly kind: 'http'
      readonly status: number
      /** x-envoy-degraded was there. */
      readonly degraded: boolean
      /** x-envoy-immediate-health-check-fail was there. */
      readonly immediateFail: boolean
      /** x-envoy-upstream-healthchecked-cluster, or null. */
      readonly healthcheckedCluster: string | null
      /** As much of it as the check looks at. */
      readonly body: Buffer
    }
  | { readonly kind: 'grpc'; readonly status: number; readonly serving: boolean; readonly degraded: boolean }
  /** No answer: connection refused, reset, GOAWAY before the answer, or the time was up. */
  | { readonly kind: 'network'; readonly timeout: boolean; readonly reason: string }

export interface CancelableCheck {
  /** Ends the exchange; `done` is not called afterwards. */
  cancel(): void
}

export interface HealthCheckTransport {
  /** Calls `done` exactly once, unless cancelled. The caller keeps its own timeout and cancels. */
  check(request: HealthCheckRequest, done: (result: HealthCheckResult) => void): CancelableCheck
}

export interface DialledCheck {
  /** The connection stands (with TLS done, where the cluster has it); the caller owns the socket from here. */
  onReady(socket: Socket): void
  onFailure(reason: string): void
}

/** Opens a connection for a TCP check, with the cluster's TLS where it has one. One of the two calls, at most once. */
export type HealthCheckDial = (host: Host, address: Address, listener: DialledCheck) => CancelableCheck
