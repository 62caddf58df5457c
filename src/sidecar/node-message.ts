// The node as control planes are told of it, and as /config_dump shows it: what the bootstrap says, with the program that runs. Our own control
// plane is also told where the admin listens, so that commands find it (`outrigger why`).

import { create, type JsonObject } from '@bufbuild/protobuf'
import { type Address, formatAddress } from '../model/address.js'
import type { NodeInfo } from '../model/bootstrap.js'
import { type Node, NodeSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'

export interface UserAgent {
  readonly name: string
  /** major.minor.patch */
  readonly version: string
}

/** In the node's metadata: where the admin listens. */
const ADMIN_KEY = 'outrigger_admin'

/** As control planes are told of it: `/config_dump` and access logs have the node without this. */
export function subscribingNode(node: NodeInfo, admin: Address | null, userAgent: UserAgent): Node {
  if (admin?.kind !== 'socket' || admin.port === 0) return nodeMessage(node, userAgent)
  return nodeMessage({ ...node, metadata: { ...node.metadata, [ADMIN_KEY]: formatAddress(admin) } }, userAgent)
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
