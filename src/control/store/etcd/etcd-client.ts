// The requests of etcd's v3 API that a store needs, over gRPC to one member at a time: the next one in line when a member does not answer, has
// no leader, or is gone. Logs in where etcd has users, and again when its token has run out. Made and closed by `EtcdStore`.
// Loaded with `--store` alone: it is what brings grpc-js into the control plane.
//
//   ask -> [attempt at the member in turn] -> answered | refused: `EtcdError`
//              ^------- no answer: the next member, after a pause -------|  until the time is over: `EtcdError`, outcome unknown
//
// Invariant: a request may have been carried out although an attempt failed, so every request given here can be given twice: a transaction
// has a compare that holds once.

import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { fullJitterMs } from '../../../io/backoff.js'
import { TlsCredentials } from '../../../io/grpc-credentials.js'
import {
  AuthenticateRequestSchema,
  AuthenticateResponseSchema,
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseRevokeRequestSchema,
  LeaseRevokeResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
  WatchRequestSchema,
  WatchResponseSchema,
} from '../../../xds/gen/etcd/etcd_pb.js'
import type { EtcdAddress } from './etcd-options.js'

export class EtcdError extends Error {
  constructor(
    message: string,
    /** What was asked may have been carried out, or be carried out still. */
    readonly isOutcomeUnknown: boolean,
    readonly code: number,
  ) {
    super(message)
  }

  /** There is no room, or too much to do. etcd carries out the request that crosses its quota, and says this of it all the same. */
  get isExhausted(): boolean {
    return this.code === status.RESOURCE_EXHAUSTED
  }

  /** What was asked for is of before the oldest revision that etcd still has, or of after the newest. */
  get isOutsideHistory(): boolean {
    return this.code === status.OUT_OF_RANGE
  }
}

export interface StreamEvents<T> {
  /** The next one waits until it resolves. */
  onMessage(message: T): void | Promise<void>
  /** Once, however the stream ends. */
  onEnd(reason: string): void
}

export interface EtcdStream<Q> {
  send(message: Q): void
  close(): void
}

/** Of one attempt; then the next member is asked. */
const ATTEMPT_MS = 2_500
/** Of all attempts. */
const REQUEST_MS = 10_000
const MIN_PAUSE_MS = 20
const MAX_PAUSE_MS = 1_000
/** etcd refuses clients that ping more often than every 5 s. */
const PING_MS = 6_000
const PING_TIMEOUT_MS = 3_000
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024
/** Statuses after which nobody knows whether the request was carried out. */
const UNANSWERED: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
  status.ABORTED,
])

type Message<S extends DescMessage> = MessageShape<S>
type Init<S extends DescMessage> = MessageInitShape<S>

export class EtcdClient {
  private readonly address: EtcdAddress
  private member = 0
  private connection: Client | undefined
  private token: Promise<string> | undefined
  private closed = false

  constructor(address: EtcdAddress) {
    this.address = address
  }

  /** The member that is asked now. */
  get endpoint(): string {
    return this.address.endpoints[this.member]!
  }

  range(request: Init<typeof RangeRequestSchema>, withinMs = REQUEST_MS): Promise<Message<typeof RangeResponseSchema>> {
    return this.ask('KV/Range', RangeRequestSchema, RangeResponseSchema, request, withinMs)
  }

  txn(request: Init<typeof TxnRequestSchema>, withinMs = REQUEST_MS): Promise<Message<typeof TxnResponseSchema>> {
    return this.ask('KV/Txn', TxnRequestSchema, TxnResponseSchema, request, withinMs)
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    const { ID } = await this.ask('Lease/LeaseGrant', LeaseGrantRequestSchema, LeaseGrantResponseSchema, { TTL: BigInt(ttlSeconds) })
    return ID
  }

  async revokeLease(ID: bigint): Promise<void> {
    await this.ask('Lease/LeaseRevoke', LeaseRevokeRequestSchema, LeaseRevokeResponseSchema, { ID }, ATTEMPT_MS)
  }

  /** Asks once for the lease to go on. Resolves with the seconds that it has from now; 0: it has ended. */
  async keepLease(ID: bigint): Promise<number> {
    const metadata = await this.metadata()
    return new Promise((resolve, reject) => {
      const stream = this.duplex('Lease/LeaseKeepAlive', LeaseKeepAliveRequestSchema, LeaseKeepAliveResponseSchema, metadata, {
        onMessage: ({ TTL }) => {
          resolve(Number(TTL))
          stream.close()
        },
        onEnd: reason => reject(new EtcdError(`etcd: ${reason}`, true, status.UNAVAILABLE)),
      })
      const timer = setTimeout(() => stream.close(), ATTEMPT_MS)
      timer.unref()
      stream.send({ ID })
    })
  }

  /** Rejects where no member can be asked. */
  async watch(
    request: Init<typeof WatchRequestSchema>,
    events: StreamEvents<Message<typeof WatchResponseSchema>>,
  ): Promise<EtcdStream<Init<typeof WatchRequestSchema>>> {
    const stream = this.duplex('Watch/Watch', WatchRequestSchema, WatchResponseSchema, await this.metadata(), events)
    stream.send(request)
    return stream
  }

  /** From now on the next member is asked; what is under way at this one goes on. */
  next(): void {
    this.member = (this.member + 1) % this.address.endpoints.length
    const { connection } = this
    this.connection = undefined
    connection?.close()
  }

  close(): void {
    this.closed = true
    this.connection?.close()
  }

  private async ask<Q extends DescMessage, A extends DescMessage>(
    method: string,
    question: Q,
    answer: A,
    request: Init<Q>,
    withinMs = REQUEST_MS,
  ): Promise<Message<A>> {
    const end = performance.now() + withinMs
    const message = create(question, request)
    let mayBeDone = false
    for (let failures = 0; ; failures++) {
      const left = end - performance.now()
      const attemptMs = Math.min(left, ATTEMPT_MS)
      const { endpoint } = this
      try {
        const metadata = await this.metadata()
        return await this.attempt(method, question, answer, message, metadata, attemptMs)
      } catch (error) {
        if (this.closed) throw new EtcdError('the store is closed', true, status.CANCELLED)
        const { code, details } = error as ServiceError
        if (isTokenOver(code, details)) this.token = undefined
        else if (!UNANSWERED.has(code)) throw new EtcdError(`etcd ${endpoint}: ${reasonOf(details)}`, mayBeDone, code)
        else {
          mayBeDone ||= !isNeverSent(details)
          if (this.endpoint === endpoint) this.next()
        }
        const pauseMs = fullJitterMs(failures, 2 * MIN_PAUSE_MS, MAX_PAUSE_MS, Math.random)
        if (performance.now() + pauseMs >= end) throw new EtcdError(`etcd ${endpoint}: ${reasonOf(details)}`, mayBeDone, code)
        await new Promise(resolve => setTimeout(resolve, pauseMs))
      }
    }
  }

  private attempt<Q extends DescMessage, A extends DescMessage>(
    method: string,
    question: Q,
    answer: A,
    message: Message<Q>,
    metadata: Metadata,
    withinMs: number,
  ): Promise<Message<A>> {
    return new Promise((resolve, reject) => {
      this.connect().makeUnaryRequest(
        `/etcdserverpb.${method}`,
        (value: Message<Q>) => Buffer.from(toBinary(question, value)),
        (bytes: Buffer) => fromBinary(answer, bytes),
        message,
        metadata,
        { deadline: Date.now() + withinMs },
        (error, value) => (error === null ? resolve(value!) : reject(error)),
      )
    })
  }

  private duplex<Q extends DescMessage, A extends DescMessage>(
    method: string,
    question: Q,
    answer: A,
    metadata: Metadata,
    events: StreamEvents<Message<A>>,
  ): EtcdStream<Init<Q>> {
    const call: ClientDuplexStream<Message<Q>, Message<A>> = this.connect().makeBidiStreamRequest(
      `/etcdserverpb.${method}`,
      (value: Message<Q>) => Buffer.from(toBinary(question, value)),
      (bytes: Buffer) => fromBinary(answer, bytes),
      metadata,
    )
    let ended = false
    const end = (reason: string): void => {
      if (ended) return
      ended = true
      events.onEnd(reason)
    }
    call.on('data', (message: Message<A>) => {
      const taken = events.onMessage(message)
      if (taken === undefined) return
      call.pause()
      void taken.then(() => call.resume())
    })
    call.on('error', (error: ServiceError) => {
      if (isTokenOver(error.code, error.details)) this.token = undefined
      end(reasonOf(error.details))
    })
    call.on('end', () => end('the stream has ended'))
    return {
      send: message => void call.write(create(question, message)),
      close: () => {
        call.cancel()
        end('closed here')
      },
    }
  }

  private connect(): Client {
    const { tls } = this.address
    this.connection ??= new Client(this.endpoint, tls === undefined ? credentials.createInsecure() : new TlsCredentials(tls), {
      'grpc.enable_retries': 0,
      'grpc.keepalive_time_ms': PING_MS,
      'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': MIN_PAUSE_MS,
      'grpc.max_reconnect_backoff_ms': MAX_PAUSE_MS,
      // Another client's failing connection to the same member is none of ours.
      'grpc.use_local_subchannel_pool': 1,
    })
    return this.connection
  }

  private async metadata(): Promise<Metadata> {
    const metadata = new Metadata()
    // A member that has lost the others says so instead of waiting.
    metadata.set('hasleader', 'true')
    const { user } = this.address
    if (user === undefined) return metadata
    this.token ??= this.logIn(user)
    try {
      metadata.set('token', await this.token)
    } catch (error) {
      this.token = undefined
      throw error
    }
    return metadata
  }

  private async logIn(user: { readonly name: string; readonly password: string }): Promise<string> {
    const question = create(AuthenticateRequestSchema, user)
    const method = 'Auth/Authenticate'
    const { token } = await this.attempt(
      method,
      AuthenticateRequestSchema,
      AuthenticateResponseSchema,
      question,
      new Metadata(),
      ATTEMPT_MS,
    )
    return token
  }
}

function isTokenOver(code: number, details: string | undefined): boolean {
  return code === status.UNAUTHENTICATED || details?.includes('revision of auth store is old') === true
}

/** The connection was not there: no member can have read the request. */
function isNeverSent(details: string | undefined): boolean {
  return details?.startsWith('No connection established') === true
}

function reasonOf(details: string | undefined): string {
  const reason = (details ?? 'no answer')
    .replace(/^etcdserver: /, '')
    .replace(/\. Resolution note:.*$/s, '')
    // How long its parts took is another each time.
    .replace(/^(Deadline exceeded) after .*$/s, '$1')
  return reason.includes('database space exceeded')
    ? 'its database is full (quota): compact and defragment it, then `etcdctl alarm disarm`; reads go on'
    : reason
}
