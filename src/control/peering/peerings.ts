// Peerings from their token to their end: what the HTTP API asks for, what a dialling peer asks for, and the streams of both. Made by
// `ControlPlane`; the records are in peering-table.ts, what is said on a stream in peer-session.ts.
//
//   here: generateToken -> PENDING -> exchange by the peer -> accept its streams: ACTIVE, without a stream FAILING
//   there: establish (exchange with the token) -> ESTABLISHING -> dials -> ACTIVE, without a stream FAILING
//   delete -> DELETING (a tombstone, until all that was imported is gone) -> no record; at the other side: TERMINATED
//
// Invariants: a token serves once; a secret is kept as a hash by the side that asks for it; a peering that ends is trusted no more at once.
import { randomUUID } from 'node:crypto'
import type { StateSeal } from '../../mtls/ca/store.js'
import { BACKDATE_MS } from '../../mtls/x509/x509.js'
import { isPeeredSni } from '../discovery-chain/names.js'
import { GrpcStatus } from '../grpc/grpc-status.js'
import { hashOf, isSameHash } from '../secret-hash.js'
import type { FederationTable } from '../spiffe/federation-table.js'
import type { ReplicaNotes } from '../store/replica-notes.js'
import type { TaskLeases } from '../store/task-leases.js'
import type { ExportedServices } from './exported-services.js'
import { askPeer, PeerError, type PeerServers } from './peer-dialer.js'
import { PeerLink } from './peer-link.js'
import {
  EXCHANGE_METHOD,
  type ExchangeAnswer,
  type ExchangeRequest,
  type PeerMessage,
  readExchangeAnswer,
  type StreamOpening,
} from './peer-messages.js'
import { PEER_NAME } from './peer-name.js'
import { PeerSession, type PeerTransport, type SessionSource } from './peer-session.js'
import { MAX_IMPORT_BYTES, MAX_IMPORTS, MAX_PEERINGS, type PeeringTable } from './peering-table.js'
import { decodeToken, encodeToken, peeringServerName, serverAddress } from './peering-token.js'
import type { PeerBundle, Peering, PeeringRecord, PeeringState } from './peering-types.js'

const TOPIC = 'peering-streams'

export interface PeeringsOptions {
  readonly table: PeeringTable
  readonly exports: ExportedServices
  readonly datacenter: string
  readonly seal: StateSeal | undefined
  readonly leases: TaskLeases
  readonly notes: ReplicaNotes
  /** Ours. */
  bundle(): PeerBundle
  /** Where peers reach us. Throws one line where they can't. */
  servers(): readonly string[]
  /** By which we dial, before the addresses of the peer itself; empty unless the mesh entry says so. */
  ownGateways(): readonly string[]
  readonly federations: Pick<FederationTable, 'get' | 'ofTrustDomain'>
  onProblem(peer: string, reason: string): void
  onNotice(peer: string, what: string): void
  readonly now?: () => number
}

/** What an operator has asked wrongly, or what can't be done now: the status of the HTTP API and one line. */
export class PeeringError extends Error {
  constructor(
    readonly statusCode: 400 | 404 | 409 | 429 | 500,
    message: string,
  ) {
    super(message)
  }
}

/** A peer that is not let in. */
export class RefusedPeer extends Error {
  constructor(
    readonly status: GrpcStatus,
    message: string,
  ) {
    super(message)
  }
}

export interface PeeringStatus {
  readonly peering: Peering
  readonly state: PeeringState
  readonly session: PeerSession | undefined
}

/** More, and a certificate that was issued on one side just now is not valid yet on the other. */
const MAX_CLOCK_SKEW_MS = BACKDATE_MS
/** Mesh gateways know the way to a new peer's control plane within moments; where they don't, the operator is told. */
const GATEWAYS_LEARN_MS = 5_000
const GATEWAYS_RETRY_MS = 200

export class Peerings {
  private readonly options: PeeringsOptions
  private readonly sessions = new Map<string, PeerSession>()
  private readonly links = new Map<string, PeerLink>()
  /** Last problem told of each, so that it is told once. */
  private readonly problems = new Map<string, string>()
  /** Peers whose streams other replicas hold. */
  private readonly elsewhere = new Map<string, readonly string[]>()
  private stopped = false
  /** Of replicas that share the state one dials; all of them are dialled. */
  private dials = false
  private release: (() => Promise<void>) | undefined

  constructor(options: PeeringsOptions) {
    this.options = options
    options.notes.hear(TOPIC, (replica, names) => {
      if (names === undefined) this.elsewhere.delete(replica)
      else this.elsewhere.set(replica, names as readonly string[])
    })
  }

  /** Goes on where it was before: dials, and ends what was being deleted. */
  async start(): Promise<void> {
    for (const { Name, State } of this.options.table.list()) if (State === 'DELETING') await this.clean(Name)
    this.release = this.options.leases.contend('peering-links', lease => {
      this.dials = true
      for (const peering of this.options.table.list()) if (peering.State !== 'DELETING') this.dial(peering)
      lease.signal.addEventListener('abort', () => this.hangUpAll(), { once: true })
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    for (const session of this.sessions.values()) session.end('the control plane stops')
    this.hangUpAll()
    await this.release?.()
  }

  private hangUpAll(): void {
    this.dials = false
    for (const link of this.links.values()) link.stop()
    this.links.clear()
  }

  /** Exports, roots or addresses may be others now. */
  changed(): void {
    for (const session of this.sessions.values()) session.changed()
  }

  status(name: string): PeeringStatus | undefined {
    const peering = this.options.table.get(name)
    return peering && this.statusOf(peering)
  }

  list(): PeeringStatus[] {
    return this.options.table.list().map(peering => this.statusOf(peering))
  }

  private statusOf(peering: Peering): PeeringStatus {
    const session = this.sessions.get(peering.Name)
    const isOpen = session !== undefined || [...this.elsewhere.values()].some(names => names.includes(peering.Name))
    return { peering, session, state: peering.State === 'ACTIVE' && !isOpen ? 'FAILING' : peering.State }
  }

  // ---- what operators ask for ----

  /** Throws `PeeringError`. A token that was made before for the same name, and not used, is good no more. */
  async generateToken(name: string, meta: Readonly<Record<string, string>>, manual: readonly string[]): Promise<string> {
    const { table, datacenter } = this.options
    checkName(name)
    this.checkRoom(name, table.get(name))
    const { addresses, bundle } = this.reachedAt(manual)
    const secret = randomUUID()
    let PeerID = ''
    await table.change(name, before => {
      this.checkRoom(name, before)
      if (before?.streamSecret !== undefined && before.State !== 'TERMINATED')
        throw new PeeringError(400, `peering "${name}" was established with a token of the peer: delete it first`)
      const kept = before?.State === 'TERMINATED' ? undefined : before
      PeerID = kept?.ID ?? randomUUID()
      return {
        ID: PeerID,
        Name: name,
        Meta: meta,
        State: kept?.State ?? 'PENDING',
        PeerID: kept?.PeerID ?? '',
        Datacenter: kept?.Datacenter ?? '',
        PeerServerName: '',
        PeerServerAddresses: [],
        PeerCAPems: [],
        establishmentHash: hashOf(secret),
        ...(kept?.streamHash === undefined ? {} : { streamHash: kept.streamHash }),
        ...(kept?.bundle === undefined ? {} : { bundle: kept.bundle }),
        ...(manual.length === 0 ? {} : { manualAddresses: manual }),
      }
    })
    const ServerName = peeringServerName(datacenter, bundle.trustDomain)
    const token = { CA: bundle.rootPems, ServerAddresses: addresses, ServerName, PeerID }
    return encodeToken({ ...token, EstablishmentSecret: secret, Datacenter: datacenter }, manual.length > 0)
  }

  private reachedAt(manual: readonly string[]): { readonly addresses: readonly string[]; readonly bundle: PeerBundle } {
    try {
      // Also where the addresses are given: without a port over TLS nobody answers at them.
      const served = this.options.servers()
      for (const address of manual) serverAddress(address)
      return { addresses: manual.length > 0 ? manual : served, bundle: this.options.bundle() }
    } catch (error) {
      throw new PeeringError(400, (error as Error).message)
    }
  }

  /** Throws `PeeringError`: with the token's fault, or the peer's reason. */
  async establish(name: string, text: string, meta: Readonly<Record<string, string>>): Promise<void> {
    const { table, datacenter, seal } = this.options
    checkName(name)
    this.checkRoom(name, table.get(name))
    const token = checked(() => decodeToken(text))
    const bundle = this.options.bundle()
    if (table.byId(token.PeerID) !== undefined || token.ServerName === peeringServerName(datacenter, bundle.trustDomain))
      throw new PeeringError(400, 'the peering token is one of this control plane: it is for the other one')
    const servers = { addresses: token.ServerAddresses, serverName: token.ServerName, caPems: token.CA }
    let ID = ''
    let isEarly = false
    const record = (): PeeringRecord => ({
      ID,
      Name: name,
      Meta: meta,
      State: 'ESTABLISHING',
      PeerID: token.PeerID,
      Datacenter: token.Datacenter,
      PeerServerName: servers.serverName,
      PeerServerAddresses: servers.addresses,
      PeerCAPems: servers.caPems,
    })
    await table.change(name, before => {
      this.checkRoom(name, before)
      if (before !== undefined && before.State !== 'TERMINATED' && before.PeerID !== token.PeerID)
        throw new PeeringError(400, `peering "${name}" exists, and is not with the peer of this token: delete it first`)
      ID = before !== undefined && before.State !== 'TERMINATED' ? before.ID : randomUUID()
      // Gateways learn the way to the peer from its record.
      isEarly = before === undefined && this.options.ownGateways().length > 0
      return isEarly ? record() : undefined
    })
    try {
      const question = { peerId: token.PeerID, secret: token.EstablishmentSecret, id: ID, datacenter, bundle }
      const answer = await this.exchangeWith(servers, question, isEarly)
      const streamSecret = seal === undefined ? answer.secret : { sealed: seal.seal(answer.secret) }
      await table.change(name, now => {
        this.checkRoom(name, now)
        this.checkTrustDomain(name, answer.bundle)
        if (now !== undefined && now.State !== 'TERMINATED' && now.ID !== ID)
          throw new PeeringError(400, `another peering "${name}" was made at the same time: generate another token at the peer`)
        this.hangUp(name)
        return { ...record(), Datacenter: answer.datacenter, streamSecret, bundle: answer.bundle }
      })
    } catch (error) {
      if (isEarly && table.get(name)?.ID === ID) await table.remove(name)
      throw error
    }
  }

  /** `patiently`: gateways may still be on their way to know the peer. */
  private async exchangeWith(
    servers: PeerServers,
    question: Omit<ExchangeRequest, 'clockMs'>,
    patiently: boolean,
  ): Promise<ExchangeAnswer> {
    const endMs = performance.now() + (patiently ? GATEWAYS_LEARN_MS : 0)
    for (;;) {
      try {
        const request: ExchangeRequest = { ...question, clockMs: this.now() }
        return readExchangeAnswer(await askPeer(this.dialled(servers), EXCHANGE_METHOD, request))
      } catch (error) {
        const isReached = !(error instanceof PeerError) || error.status !== undefined
        if (isReached || performance.now() >= endMs)
          throw new PeeringError(400, `the peer does not take the token: ${(error as Error).message}`)
        await new Promise(resolve => setTimeout(resolve, GATEWAYS_RETRY_MS))
      }
    }
  }

  private dialled(servers: PeerServers): PeerServers {
    return { ...servers, addresses: [...this.options.ownGateways(), ...servers.addresses] }
  }

  /** Of one that is not there: nothing. */
  async delete(name: string): Promise<void> {
    const { table } = this.options
    if (table.get(name) === undefined) return
    await table.updatePeering(name, before => ({ ...ended(before), State: 'DELETING', DeletedAt: new Date(this.now()).toISOString() }))
    this.sessions.get(name)?.terminate()
    await this.clean(name)
  }

  private async clean(name: string): Promise<void> {
    this.hangUp(name)
    await this.options.table.keepImports(name, new Set())
    await this.options.table.remove(name)
    this.problems.delete(name)
    this.options.onNotice(name, 'deleted')
  }

  private checkRoom(name: string, before: Peering | undefined): void {
    // Intentions name peerings and federations alike.
    if (this.options.federations.get(name) !== undefined)
      throw new PeeringError(409, `there is a federation ${JSON.stringify(name)}: a peering needs another name`)
    if (before?.State === 'DELETING') throw new PeeringError(400, `peering "${name}" is being deleted`)
    if (before === undefined && this.options.table.list().length >= MAX_PEERINGS)
      throw new PeeringError(429, `there are ${MAX_PEERINGS} peerings already, which is the limit`)
  }

  /** Two peerings with one trust domain could not be told apart by their certificates. */
  private checkTrustDomain(name: string, { trustDomain }: PeerBundle): void {
    if (trustDomain === this.options.bundle().trustDomain)
      throw new PeeringError(400, `the peer has our own trust domain ${trustDomain}: its services could not be told from ours`)
    const other = this.options.table.list().find(peering => peering.Name !== name && peering.bundle?.trustDomain === trustDomain)
    if (other !== undefined) throw new PeeringError(400, `there is a peering with this peer already, by the name "${other.Name}"`)
    const federation = this.options.federations.ofTrustDomain(trustDomain)?.Name
    if (federation !== undefined)
      throw new PeeringError(400, `the trust domain ${trustDomain} of the peer is that of the federation "${federation}"`)
  }

  // ---- what peers ask for ----

  /** The first use of a token: gives the secret of the streams for it. Throws `RefusedPeer`. */
  async exchange(request: ExchangeRequest): Promise<ExchangeAnswer> {
    const { table, datacenter } = this.options
    const found = table.byId(request.peerId)
    if (found === undefined || found.State === 'DELETING')
      throw new RefusedPeer(GrpcStatus.NOT_FOUND, 'there is no such peering (any more): generate another token')
    const skewMs = Math.abs(request.clockMs - this.now())
    if (skewMs > MAX_CLOCK_SKEW_MS)
      throw new RefusedPeer(
        GrpcStatus.FAILED_PRECONDITION,
        `the clocks of the two are ${Math.round(skewMs / 1_000)} s apart, the limit is ${MAX_CLOCK_SKEW_MS / 1_000} s: certificates of one would not be valid yet at the other`,
      )
    const secret = randomUUID()
    let refusal: RefusedPeer | undefined
    await table.updatePeering(found.Name, before => {
      const { establishmentHash, ...rest } = before
      if (establishmentHash === undefined || !isSameHash(establishmentHash, hashOf(request.secret))) {
        const why = establishmentHash === undefined ? 'has been used already' : 'is not the newest of its peering'
        refusal = new RefusedPeer(GrpcStatus.PERMISSION_DENIED, `this peering token ${why}: generate another`)
        return before
      }
      try {
        // Here, where no other token of the same peer can be exchanged at the same time; what it says of other peerings only who has a token is told.
        this.checkTrustDomain(found.Name, request.bundle)
      } catch (error) {
        refusal = new RefusedPeer(GrpcStatus.FAILED_PRECONDITION, (error as Error).message)
        return before
      }
      return { ...rest, PeerID: request.id, Datacenter: request.datacenter, bundle: request.bundle, streamHash: hashOf(secret) }
    })
    if (refusal !== undefined) throw refusal
    return { secret, datacenter, bundle: this.options.bundle() }
  }

  /** A stream of a peer that dials us. Throws `RefusedPeer`. */
  accept({ peerId, secret }: StreamOpening, transport: PeerTransport): PeerSession {
    const found = this.options.table.byId(peerId)
    if (found === undefined || found.State === 'DELETING' || found.State === 'TERMINATED')
      throw new RefusedPeer(GrpcStatus.NOT_FOUND, 'there is no such peering: it was deleted')
    if (found.streamHash === undefined || !isSameHash(found.streamHash, hashOf(secret)))
      throw new RefusedPeer(GrpcStatus.PERMISSION_DENIED, 'the secret of the stream is not that of the peering')
    return this.open(found.Name, transport, () => found.manualAddresses ?? this.servedAt())
  }

  private servedAt(): readonly string[] {
    try {
      return this.options.servers()
    } catch {
      return []
    }
  }

  /** The stream has ended. */
  left(session: PeerSession): void {
    session.closed()
    for (const [name, open] of this.sessions) {
      if (open !== session) continue
      this.sessions.delete(name)
      this.tellReplicas()
      this.options.onNotice(name, 'the stream has ended')
    }
  }

  // ---- streams ----

  /** A record is there, or gone, by whatever way: also by a snapshot that was restored. */
  recordChanged(name: string): void {
    const record = this.options.table.get(name)
    if (record === undefined) this.hangUp(name)
    else this.dial(record)
  }

  private hangUp(name: string): void {
    this.links.get(name)?.stop()
    this.links.delete(name)
    this.sessions.get(name)?.end('')
    if (this.sessions.delete(name)) this.tellReplicas()
  }

  private dial(record: PeeringRecord): void {
    const { Name: name, PeerID: peerId, streamSecret } = record
    if (streamSecret === undefined || isOver(record) || this.stopped || !this.dials || this.links.has(name)) return
    const link = new PeerLink({
      servers: () => this.serversOf(name),
      opening: { peerId, secret: this.opened(streamSecret) },
      open: transport => this.open(name, transport, () => undefined),
      refused: ({ status, message }) => {
        if (status !== GrpcStatus.NOT_FOUND) return false
        this.problem(name, message)
        this.terminated(name).catch((error: Error) => this.problem(name, error.message))
        return true
      },
      onLost: (session, reason) => {
        if (session !== undefined) this.left(session)
        this.problem(name, reason)
      },
    })
    this.links.set(name, link)
  }

  /** What signs the peer's certificates now may be what the token knew, or what its bundle has told since. */
  private serversOf(name: string): PeerServers {
    const peering = this.options.table.get(name)
    if (peering === undefined) throw new PeerError('the peering has ended')
    const { PeerServerAddresses, PeerServerName, PeerCAPems, bundle } = peering
    return this.dialled({
      addresses: PeerServerAddresses,
      serverName: PeerServerName,
      caPems: [...new Set([...PeerCAPems, ...(bundle?.rootPems ?? [])])],
    })
  }

  private opened(secret: unknown): string {
    const { seal } = this.options
    if (typeof secret === 'string') return secret
    return seal === undefined ? '' : seal.open((secret as { readonly sealed: Parameters<StateSeal['open']>[0] }).sealed)
  }

  private open(name: string, transport: PeerTransport, servers: () => readonly string[] | undefined): PeerSession {
    const { table, exports, datacenter } = this.options
    const source: SessionSource = {
      datacenter,
      servers,
      bundle: () => this.options.bundle(),
      exports: () => exports.to(name),
      have: () => Object.fromEntries(table.importsOf(name).map(service => [service.name, service.hash])),
      greeted: hello => this.greeted(name, hello),
      take: message => this.take(name, message),
      onProblem: reason => this.problem(name, reason),
    }
    this.sessions.get(name)?.end('another stream takes its place')
    const session = new PeerSession(transport, source)
    this.sessions.set(name, session)
    this.tellReplicas()
    return session
  }

  /** Whose streams are open here. */
  private tellReplicas(): void {
    this.options.notes.say(TOPIC, [...this.sessions.keys()])
  }

  private greeted(name: string, { clockMs, datacenter }: Extract<PeerMessage, { readonly kind: 'hello' }>): void {
    this.problems.delete(name)
    this.options.onNotice(name, 'the stream is open')
    const skewMs = Math.abs(clockMs - this.now())
    if (skewMs > MAX_CLOCK_SKEW_MS) this.problem(name, `the clocks of the two are ${Math.round(skewMs / 1_000)} s apart`)
    this.options.table
      .updatePeering(name, before => (isOver(before) ? before : { ...before, State: 'ACTIVE', Datacenter: datacenter }))
      .catch((error: Error) => this.problem(name, error.message))
  }

  private async take(name: string, message: PeerMessage): Promise<void> {
    const { table } = this.options
    const peering = table.get(name)
    if (peering === undefined || isOver(peering)) return
    switch (message.kind) {
      case 'bundle': {
        const known = peering.bundle?.trustDomain ?? message.bundle.trustDomain
        if (message.bundle.trustDomain !== known)
          throw new Error(`the trust domain was ${known}, and is said to be ${message.bundle.trustDomain}`)
        return table.updatePeering(name, before => (isOver(before) ? before : { ...before, bundle: message.bundle }))
      }
      case 'servers':
        return table.updatePeering(name, before =>
          before.streamSecret === undefined ? before : { ...before, PeerServerAddresses: message.addresses },
        )
      case 'services':
        return table.keepImports(name, new Set(message.names.map(service => service.toLowerCase())))
      case 'service': {
        const trustDomain = peering.bundle?.trustDomain ?? ''
        const { name: service, sni, spiffeIds } = message.service
        if (!spiffeIds.every(id => id.startsWith(`spiffe://${trustDomain}/`)))
          throw new Error('its identity is not of the trust domain of the peer')
        // By it mesh gateways send connections on: one of somebody else's would take theirs.
        if (!isPeeredSni(sni, service, trustDomain))
          throw new Error(`its server name ${JSON.stringify(sni)} is not one of the service and the peer`)
        if (!(await table.putImport(name, message.service, message.hash)))
          throw new Error(`more than one peering may import: ${MAX_IMPORTS} services, ${MAX_IMPORT_BYTES / 2 ** 20} MiB`)
        return
      }
      case 'terminated':
        return this.terminated(name)
      default:
        return
    }
  }

  /** The other side has deleted the peering: what came of it ends here too, and the record says so until it is deleted. */
  private async terminated(name: string): Promise<void> {
    this.hangUp(name)
    await this.options.table.updatePeering(name, before => (isOver(before) ? before : { ...ended(before), State: 'TERMINATED' }))
    await this.options.table.keepImports(name, new Set())
    this.options.onNotice(name, 'the peer has deleted the peering')
  }

  private problem(name: string, reason: string): void {
    if (this.stopped || this.problems.get(name) === reason) return
    this.problems.set(name, reason)
    this.options.onProblem(name, reason)
  }

  private now(): number {
    return this.options.now?.() ?? Date.now()
  }
}

const isOver = ({ State }: PeeringRecord): boolean => State === 'DELETING' || State === 'TERMINATED'

/** Without what it was trusted by, and what it lets in. */
function ended({
  bundle: _bundle,
  establishmentHash: _token,
  streamHash: _hash,
  streamSecret: _secret,
  ...rest
}: PeeringRecord): PeeringRecord {
  return rest
}

function checkName(name: string): void {
  if (!PEER_NAME.test(name))
    throw new PeeringError(400, `peer name "${name}": must be 1 to 63 lower case letters, digits and "-", with no "-" at its ends`)
}

function checked<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new PeeringError(400, (error as Error).message)
  }
}
