// A DiscoveryResponse in JSON or YAML, as files and REST servers send it. Given to FileSubscription and RestClient by
// the sidecar. Invariant: fields and packed
// types that we do not know are taken, as in any dynamic config; whoever reads such a field says whether that is an error.

import { type DiscoveryResponse, DiscoveryResponseSchema } from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { Ctx, ErrorCollector } from './field-path.js'
import { messageFromJson } from './json-message.js'

/** Throws with the first problem and its path. */
export function discoveryResponseFromJson(json: unknown): DiscoveryResponse {
  const sink = new ErrorCollector({ unknownFields: 'count' })
  const response = messageFromJson(DiscoveryResponseSchema, json, new Ctx(sink)) as DiscoveryResponse
  const [first] = sink.errors
  if (first === undefined) return response
  throw new Error(first.path === '' ? first.reason : `${first.path}: ${first.reason}`)
}
