// A RouteConfiguration from its bytes, parsed and checked (message-check.ts) a virtual host and a route at a time, so that a table of
// thousands does not keep traffic waiting. Called by decode.ts. The message is the one that parsing in one go gives, the errors are the
// same; only their order may differ, as a host's own come before those of its routes.

import { fromBinary } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import type { Steps } from '../../io/slices.js'
import { RouteSchema, type VirtualHost, VirtualHostSchema } from '../gen/envoy/config/route/v3/route_components_pb.js'
import { type RouteConfiguration, RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.js'
import type { Ctx } from './field-path.js'
import { checkMessage } from './message-check.js'

const VIRTUAL_HOSTS = RouteConfigurationSchema.field.virtualHosts.number
const ROUTES = VirtualHostSchema.field.routes.number

/** Null: it cannot be parsed, and `ctx` has the error. */
export function* checkedRouteConfiguration(bytes: Uint8Array, ctx: Ctx): Steps<RouteConfiguration | null> {
  try {
    const { items, rest } = yield* takeOut(bytes, VIRTUAL_HOSTS)
    const config = fromBinary(RouteConfigurationSchema, rest)
    checkMessage(RouteConfigurationSchema, config, ctx)
    for (const [i, item] of items.entries()) config.virtualHosts.push(yield* checkedHost(item, ctx.at('virtual_hosts', i)))
    return config
  } catch (error) {
    ctx.error(`cannot parse ${RouteConfigurationSchema.typeName}: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

function* checkedHost(bytes: Uint8Array, ctx: Ctx): Steps<VirtualHost> {
  const { items, rest } = yield* takeOut(bytes, ROUTES)
  const host = fromBinary(VirtualHostSchema, rest)
  checkMessage(VirtualHostSchema, host, ctx)
  for (const [i, item] of items.entries()) {
    const route = fromBinary(RouteSchema, item)
    checkMessage(RouteSchema, route, ctx.at('routes', i))
    host.routes.push(route)
    yield
  }
  return host
}

/** The values of the repeated message field `number`, and the bytes of all the others. */
function* takeOut(bytes: Uint8Array, number: number): Steps<{ readonly items: Uint8Array[]; readonly rest: Uint8Array }> {
  const items: Uint8Array[] = []
  const others: Uint8Array[] = []
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [field, wireType] = reader.tag()
    if (field === number && wireType === WireType.LengthDelimited) {
      items.push(reader.bytes())
      yield
      continue
    }
    reader.skip(wireType, field)
    others.push(bytes.subarray(start, reader.pos))
  }
  return { items, rest: Buffer.concat(others) }
}
