// A RouteConfiguration from its bytes, parsed and checked (message-check.ts) a virtual host and a route at a time as the decoder asks for
// them, so that a table of thousands does not keep traffic waiting, nor all of its messages in memory. Called by decode.ts. The errors are
// those of parsing in one go; only their order may differ.

import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { finish, type Steps } from '../../io/slices.js'
import { type Route, RouteSchema, VirtualHostSchema } from '../gen/envoy/config/route/v3/route_components_pb.js'
import { type RouteConfiguration, RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.js'
import { takeOut } from '../message-parts.js'
import type { Ctx } from './field-path.js'
import { checkMessage } from './message-check.js'
import type { HostMessages } from './route.js'

const VIRTUAL_HOSTS = RouteConfigurationSchema.field.virtualHosts.number
const ROUTES = VirtualHostSchema.field.routes.number

/** The bytes, or some of them, are no message of their type. */
export class UnparsedMessage extends Error {}

/** The table without its virtual hosts, and those, each parsed when it is asked for. Throws UnparsedMessage, then too. */
export function* routeConfigurationParts(
  bytes: Uint8Array,
  ctx: Ctx,
): Steps<{ readonly config: RouteConfiguration; readonly hosts: Iterable<HostMessages> }> {
  const { items, rest } = yield* partsOf(bytes, VIRTUAL_HOSTS)
  return { config: checked(RouteConfigurationSchema, rest, ctx), hosts: parsedHosts(items, ctx) }
}

function* parsedHosts(items: readonly Uint8Array[], ctx: Ctx): Iterable<HostMessages> {
  for (const [i, item] of items.entries()) {
    const at = ctx.at('virtual_hosts', i)
    const { items: routes, rest } = finish(partsOf(item, ROUTES))
    yield { host: checked(VirtualHostSchema, rest, at), routes: parsedRoutes(routes, at) }
  }
}

function* parsedRoutes(items: readonly Uint8Array[], ctx: Ctx): Iterable<Route> {
  for (const [i, item] of items.entries()) yield checked(RouteSchema, item, ctx.at('routes', i))
}

function checked<D extends DescMessage>(desc: D, bytes: Uint8Array, ctx: Ctx): MessageShape<D> {
  let message: MessageShape<D>
  try {
    message = fromBinary(desc, bytes)
  } catch (error) {
    throw unparsed(error)
  }
  checkMessage(desc, message, ctx)
  return message
}

function unparsed(error: unknown): UnparsedMessage {
  const reason = error instanceof Error ? error.message : String(error)
  return new UnparsedMessage(`cannot parse ${RouteConfigurationSchema.typeName}: ${reason}`)
}

/** As takeOut. */
function* partsOf(bytes: Uint8Array, number: number): ReturnType<typeof takeOut> {
  try {
    return yield* takeOut(bytes, number)
  } catch (error) {
    throw unparsed(error)
  }
}
