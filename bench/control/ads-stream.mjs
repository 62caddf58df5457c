// One delta ADS stream on a connection of its own, as light as it can be made: a simulation holds ten thousand of them in one process, and
// what it costs is taken from the control plane that it measures. Used by simulated-sidecars.mjs.
// Invariant: `onEnd` is called once, whatever ended it.
import { connect } from 'node:http2'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema } from '../../dist/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { ADS_METHODS } from '../../dist/xds/type-urls.js'

const PREFIX_BYTES = 5
const WINDOW_BYTES = 4 * 1024 * 1024
const HEAD = { ':method': 'POST', ':path': ADS_METHODS.delta, 'content-type': 'application/grpc', te: 'trailers' }

export class AdsStream {
  /** `onResponse(response)`, `onEnd(reason)`. */
  constructor(address, onResponse, onEnd) {
    this.onResponse = onResponse
    this.onEnd = onEnd
    this.ended = false
    this.held = null
    this.session = connect(`http://${address}`, { settings: { enablePush: false, initialWindowSize: WINDOW_BYTES } })
    this.session.on('error', error => this.end(error.code ?? error.message))
    this.session.once('close', () => this.end('closed'))
    this.session.once('connect', () => this.session.setLocalWindowSize(WINDOW_BYTES))
    this.stream = this.session.request(HEAD)
    this.stream.on('error', error => this.end(error.code ?? error.message))
    this.stream.on('data', chunk => this.receive(chunk))
    const onStatus = headers => {
      const status = headers['grpc-status']
      if (status !== undefined) this.end(`grpc-status ${status}: ${decodeURIComponent(headers['grpc-message'] ?? '')}`)
    }
    this.stream.on('response', onStatus)
    this.stream.on('trailers', onStatus)
  }

  send(request) {
    if (this.ended) return
    const message = toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request))
    const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
    framed[0] = 0
    framed.writeUInt32BE(message.length, 1)
    framed.set(message, PREFIX_BYTES)
    this.stream.write(framed)
  }

  receive(chunk) {
    let bytes = this.held === null ? chunk : Buffer.concat([this.held, chunk])
    while (bytes.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + bytes.readUInt32BE(1)
      if (bytes.length < end) break
      this.onResponse(fromBinary(DeltaDiscoveryResponseSchema, bytes.subarray(PREFIX_BYTES, end)))
      bytes = bytes.subarray(end)
    }
    this.held = bytes.length === 0 ? null : bytes
  }

  /** Hard: what a network that breaks does. */
  close() {
    this.end('closed')
  }

  end(reason) {
    if (this.ended) return
    this.ended = true
    this.session.destroy()
    this.onEnd(reason)
  }
}
