// Discovery by polling: `api_config_source` with REST. Asks for one type with POST and JSON, as Envoy does: again after refresh_delay and up
// to as much more at random, with the last accepted version, so that the server may say 304. The sidecar makes one per source and type and
// gives it the same update handler as a stream. Invariant: one request at a time; what fails or is refused leaves the last good state,
// and the version that was asked with.

import { createHash } from 'node:crypto'
import { create, toJson } from '@bufbuild/protobuf'
import { NO_TIMER, type Timer, type WallClock } from '../../io/clock.js'
import type { Node } from '../gen/envoy/config/core/v3/base_pb.js'
import { DiscoveryRequestSchema, type DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { restPathOf } from '../type-urls.js'
import type { DiscoveryClient } from './client-options.js'
import { ClientTypeState } from './client-type-state.js'
import { decodeStateOfTheWorld, rejectionMessage, type XdsUpdateHandler } from './decode-response.js'

/** The answer of a server, or why there is none. */
export type RestAnswer =
  | { readonly ok: true; readonly status: number; readonly body: Buffer }
  | { readonly ok: false; readonly reason: string }

/** 304; the very answer that is in use; no answer of HTTP's 200; one that is none of discovery. */
export type FetchOutcome = 'not-modified' | 'same' | 'failed' | 'rejected'

export interface RestClientOptions {
  readonly typeUrl: string
  readonly node: Node
  readonly refreshDelayMs: number
  /** Sends one POST with a JSON body. Calls back once, unless it is cancelled by the function that it returns. */
  readonly post: (path: string, body: Buffer, callback: (answer: RestAnswer) => void) => () => void
  /** Throws where it is none. */
  readonly readJson: (json: unknown) => DiscoveryResponse
  readonly onUpdate: XdsUpdateHandler
  /** A fetch that brought no update. */
  readonly onFetched: (outcome: FetchOutcome) => void
  readonly clock: WallClock
  readonly random: () => number
  readonly logger: { warn(fields: object, message: string): void }
}

const NOT_MODIFIED = 304

export class RestClient implements DiscoveryClient {
  private readonly state: ClientTypeState
  private readonly path: string
  private running = false
  private asking = false
  private cancel: () => void = () => {}
  private timer: Timer = NO_TIMER
  /** Names came while an answer was on its way: it may not hold them. */
  private again = false
  /** Digest of the answer that is in use; '' while there is none. Servers that know nothing of versions send it each time. */
  private accepted = ''

  constructor(private readonly options: RestClientOptions) {
    const path = restPathOf(options.typeUrl)
    if (path === undefined) throw new RangeError(`no REST endpoint for ${options.typeUrl}`)
    this.path = path
    this.state = new ClientTypeState(options.typeUrl)
  }

  subscribe(_typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void {
    this.state.add('wildcard' in what ? 'wildcard' : what)
    // A server would answer the version with 304, whatever names are asked for.
    this.state.acceptedVersion = ''
    if (!this.running) return
    if (this.asking) this.again = true
    else this.ask()
  }

  unsubscribe(_typeUrl: string, what: readonly string[] | { readonly wildcard: true }): void {
    this.state.remove('wildcard' in what ? 'wildcard' : what)
  }

  start(): void {
    if (this.running) return
    this.running = true
    this.ask()
  }

  close(): void {
    this.running = false
    this.timer.cancel()
    this.cancel()
  }

  private ask(): void {
    const { node, post } = this.options
    this.timer.cancel()
    this.asking = true
    this.again = false
    const request = create(DiscoveryRequestSchema, {
      versionInfo: this.state.acceptedVersion,
      node,
      resourceNames: [...this.state.names],
      typeUrl: this.options.typeUrl,
    })
    const body = Buffer.from(JSON.stringify(toJson(DiscoveryRequestSchema, request, { useProtoFieldName: true })))
    this.cancel = post(this.path, body, answer => {
      void this.answered(answer).then(() => this.goOn())
    })
  }

  private goOn(): void {
    this.asking = false
    if (!this.running) return
    if (this.again) {
      this.state.acceptedVersion = ''
      this.ask()
      return
    }
    const { clock, refreshDelayMs, random } = this.options
    this.timer = clock.after(refreshDelayMs * (1 + random()), () => this.ask())
  }

  private async answered(answer: RestAnswer): Promise<void> {
    if (!this.running) return
    if (!answer.ok) {
      this.failed(answer.reason)
      return
    }
    const { onFetched } = this.options
    if (answer.status === NOT_MODIFIED) {
      onFetched('not-modified')
      return
    }
    if (answer.status !== 200) {
      this.failed(`answered ${answer.status}`)
      return
    }
    const digest = createHash('sha256').update(answer.body).digest('base64')
    // With new names there is no accepted version, and the answer counts for them too.
    if (digest === this.accepted && this.state.acceptedVersion !== '') {
      onFetched('same')
      return
    }
    this.accepted = ''
    let response: DiscoveryResponse
    try {
      response = this.options.readJson(JSON.parse(answer.body.toString()))
    } catch (error) {
      this.failed(`sent no DiscoveryResponse in JSON: ${(error as Error).message}`, 'rejected')
      return
    }
    if (await this.apply(response)) this.accepted = digest
  }

  /** False where some of it was refused. */
  private async apply(response: DiscoveryResponse): Promise<boolean> {
    const { typeUrl, onUpdate, logger } = this.options
    const { state } = this
    const decoded = decodeStateOfTheWorld(response, typeUrl, state.versions.keys())
    const resources = decoded.resources.filter(({ name }) => state.wants(name))
    const verdict = await onUpdate({ typeUrl, resources, removed: decoded.removed, systemVersion: response.versionInfo })
    const rejected = [...decoded.rejected, ...(verdict?.rejected ?? [])]
    const refused = new Set(rejected.map(({ name }) => name))
    for (const { name, version } of resources) if (!refused.has(name)) state.hold(name, version)
    for (const name of decoded.removed) if (!refused.has(name)) state.forget(name)
    if (rejected.length === 0) state.acceptedVersion = response.versionInfo
    else logger.warn({ typeUrl, resources: rejected.map(({ name }) => name) }, `update refused: ${rejectionMessage(rejected)}`)
    return rejected.length === 0
  }

  private failed(reason: string, outcome: FetchOutcome = 'failed'): void {
    const { typeUrl, logger, onFetched } = this.options
    logger.warn({ typeUrl, path: this.path }, `discovery by REST failed: the server ${reason}`)
    onFetched(outcome)
  }
}
