// A SPIFFE Workload API on a real socket, as strict as the specification: a call without the security header, or with anything in its request,
// is INVALID_ARGUMENT; a workload without identities is PERMISSION_DENIED. Messages are written field by field from the specification's numbers,
// so that a wrong number in the product's own .proto shows.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js'
import { readPem } from '../../src/mtls/x509/der.js'
import type { AnyCa, Leaf } from '../mtls/tls/tls-support.js'

export interface FakeSvid extends Leaf {
  readonly id: string
  /** PEM. */
  readonly bundle: string
  readonly hint?: string
}

export interface WorkloadState {
  readonly svids: readonly FakeSvid[]
  /** Trust domain id -> PEM: of other trust domains with the identities, of all with FetchX509Bundles. */
  readonly federated?: Readonly<Record<string, string>>
  readonly crls?: readonly string[]
}

type Stream = ServerWritableStream<Buffer, Buffer>
type Method = 'FetchX509SVID' | 'FetchX509Bundles'

export class WorkloadApiServer {
  /** Calls that have come, by method. */
  readonly calls: Record<Method, number> = { FetchX509SVID: 0, FetchX509Bundles: 0 }
  private readonly streams: Record<Method, Set<Stream>> = { FetchX509SVID: new Set(), FetchX509Bundles: new Set() }
  private readonly server = new Server()
  private readonly dir = mkdtempSync(join(tmpdir(), 'outrigger-workload-'))
  private state: WorkloadState | null = null
  private port = 0

  /** `bundles: false`: FetchX509Bundles is UNIMPLEMENTED. */
  constructor(private readonly options: { readonly bundles?: boolean; readonly tcp?: boolean } = {}) {}

  get path(): string {
    return join(this.dir, 'agent.sock')
  }

  /** As in SPIFFE_ENDPOINT_SOCKET. */
  get endpoint(): string {
    return this.options.tcp === true ? `tcp://127.0.0.1:${this.port}` : `unix://${this.path}`
  }

  async start(): Promise<this> {
    const method = (name: Method) => ({
      path: `/SpiffeWorkloadAPI/${name}`,
      requestStream: false,
      responseStream: true,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    })
    const names: Method[] = this.options.bundles === false ? ['FetchX509SVID'] : ['FetchX509SVID', 'FetchX509Bundles']
    this.server.addService(
      Object.fromEntries(names.map(name => [name, method(name)])),
      Object.fromEntries(names.map(name => [name, (call: Stream) => this.serve(name, call)])),
    )
    const address = this.options.tcp === true ? '127.0.0.1:0' : `unix:${this.path}`
    this.port = await new Promise((resolve, reject) =>
      this.server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error))),
    )
    return this
  }

  /** Null: no identity is defined for the caller (any more). */
  set(state: WorkloadState | null): void {
    this.state = state
    for (const name of ['FetchX509SVID', 'FetchX509Bundles'] as const) for (const call of this.streams[name]) this.answer(name, call)
  }

  /** Whatever the bytes are, to all who wait for identities. */
  sendRaw(bytes: Buffer): void {
    for (const call of this.streams.FetchX509SVID) call.write(bytes)
  }

  /** Every stream ends with UNAVAILABLE, as when the agent restarts. */
  drop(): void {
    for (const calls of Object.values(this.streams))
      for (const call of calls) call.emit('error', { code: status.UNAVAILABLE, details: 'restarting' })
  }

  /** The streams of bundles end as where there are none. */
  endBundles(): void {
    for (const call of [...this.streams.FetchX509Bundles]) {
      this.streams.FetchX509Bundles.delete(call)
      call.emit('error', { code: status.UNIMPLEMENTED, details: 'unknown method' })
    }
  }

  close(): void {
    this.server.forceShutdown()
    rmSync(this.dir, { recursive: true, force: true })
  }

  private serve(name: Method, call: Stream): void {
    this.calls[name]++
    const header = call.metadata.get('workload.spiffe.io')
    if (header.length !== 1 || header[0] !== 'true') {
      call.emit('error', { code: status.INVALID_ARGUMENT, details: 'security header missing from request' })
      return
    }
    if (call.request.length !== 0) {
      call.emit('error', { code: status.INVALID_ARGUMENT, details: 'the request has fields that it should not have' })
      return
    }
    this.streams[name].add(call)
    for (const event of ['cancelled', 'close', 'error']) call.on(event, () => this.streams[name].delete(call))
    this.answer(name, call)
  }

  private answer(name: Method, call: Stream): void {
    if (this.state === null) {
      this.streams[name].delete(call)
      call.emit('error', { code: status.PERMISSION_DENIED, details: 'no identity issued' })
    } else call.write(name === 'FetchX509SVID' ? svidResponse(this.state) : bundlesResponse(this.state))
  }
}

/** An identity of a trust domain, signed by a CA of it. */
export function fakeSvid(ca: AnyCa, id: string, hint?: string): FakeSvid {
  return { ...ca.leaf({ uris: [id] }), id, bundle: ca.pem, ...(hint === undefined ? {} : { hint }) }
}

const der = (pem: string): Buffer => Buffer.concat(readPem(pem).map(block => block.der))

export function svidResponse({ svids, federated = {}, crls = [] }: WorkloadState): Buffer {
  const writer = new BinaryWriter()
  for (const { id, cert, key, bundle, hint } of svids) {
    const svid = new BinaryWriter()
    svid.tag(1, 2).string(id)
    svid.tag(2, 2).bytes(der(cert))
    svid.tag(3, 2).bytes(createPrivateKey(key).export({ type: 'pkcs8', format: 'der' }))
    svid.tag(4, 2).bytes(der(bundle))
    if (hint !== undefined) svid.tag(5, 2).string(hint)
    writer.tag(1, 2).bytes(svid.finish())
  }
  for (const crl of crls) writer.tag(2, 2).bytes(der(crl))
  for (const [id, pem] of Object.entries(federated)) writer.tag(3, 2).bytes(mapEntry(id, pem))
  return Buffer.from(writer.finish())
}

function bundlesResponse({ svids, federated = {}, crls = [] }: WorkloadState): Buffer {
  const writer = new BinaryWriter()
  for (const crl of crls) writer.tag(1, 2).bytes(der(crl))
  const own = svids.map(({ id, bundle }) => [id.split('/').slice(0, 3).join('/'), bundle] as const)
  for (const [id, pem] of [...new Map([...own, ...Object.entries(federated)])]) writer.tag(2, 2).bytes(mapEntry(id, pem))
  return Buffer.from(writer.finish())
}

function mapEntry(id: string, pem: string): Uint8Array {
  return new BinaryWriter().tag(1, 2).string(id).tag(2, 2).bytes(der(pem)).finish()
}

/** What is served has this serial number. */
export function serialOf({ cert }: Leaf): string {
  return new X509Certificate(cert).serialNumber
}
