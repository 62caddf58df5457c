// The node as control planes are told of it, and as /config_dump shows it: what the bootstrap says, with the program that runs.

import { create, type JsonObject } from '@bufbuild/protobuf'
import type { NodeInfo } from '../model/bootstrap.js'
import { type Node, NodeSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'

export interface UserAgent {
  readonly name: string
  /** major.minor.patch */
  readonly version: string
}

export function nodeMessage(node: NodeInfo, userAgent: UserAgent): Node {
  const { region, zone, subZone } = node.locality
  const [major = 0, minor = 0, patch = 0] = userAgent.version.split('.').map(Number)
  return create(NodeSchema, {
    id: node.id,
    cluster: node.cluster,
    ...(Object.keys(node.metadata).length === 0 ? {} : { metadata: node.metadata as JsonObject }),
    ...(region === '' && zone === '' && subZone === '' ? {} : { locality: { region, zone, subZone } }),
    userAgentName: userAgent.name,
    userAgentVersionType: {
      case: 'userAgentBuildVersion',
      value: { version: { majorNumber: major, minorNumber: minor, patch } },
    },
  })
}
