// How near a server of `WatchServers` is to the proxy that asked: a field of our own beside those of Consul's `Server`, which other clients pass
// over. Written by the control plane (control/grpc), read by the dataplane. Invariant: a server without it is as near as any.
import { WireType } from '@bufbuild/protobuf/wire'
import type { Server } from './gen/hashicorp/serverdiscovery_pb.js'

/** Far beyond what Consul's message may come to have. */
const DISTANCE_FIELD = 1000

/** A member of a `Server`. 0 = its zone, 1 = its region, 2 = elsewhere. */
export function distanceField(distance: 0 | 1 | 2): Pick<Server, '$unknown'> {
  return distance === 0 ? {} : { $unknown: [{ no: DISTANCE_FIELD, wireType: WireType.Varint, data: Uint8Array.of(distance) }] }
}

export function distanceOf({ $unknown }: Pick<Server, '$unknown'>): number {
  const field = $unknown?.find(({ no, wireType }) => no === DISTANCE_FIELD && wireType === WireType.Varint)
  return field?.data[0] ?? 0
}
