// VirtualHost.matcher -> model: the routes that its actions (Route, RouteList) hold, in one list, and a tree whose actions are places in it.
// Called by route.ts, which says how one route is read.

import type { MatchTree } from '../../model/match-tree.js'
import type { Route } from '../../model/route.js'
import type { RouteList, Route as RouteMessage } from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { Matcher } from '../gen/xds/type/matcher/v3/matcher_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { decodeMatchTree } from './match-tree.js'

const ROUTE = 'envoy.config.route.v3.Route'
const ROUTE_LIST = 'envoy.config.route.v3.RouteList'

/** As in Envoy nothing else may be looked at. */
const INPUTS = new Set(['requestHeader'] as const)

interface MatchedRoutes {
  readonly routes: readonly Route[]
  readonly matcher: MatchTree<readonly number[]>
}

export function decodeRouteMatcher(matcher: Matcher, ctx: Ctx, decodeRoute: (message: RouteMessage, ctx: Ctx) => Route): MatchedRoutes {
  const routes: Route[] = []
  const add = (message: RouteMessage, at: Ctx): number => routes.push(decodeRoute(message, at)) - 1
  const tree = decodeMatchTree<readonly number[]>(
    matcher,
    {
      inputs: INPUTS,
      textOnly: true,
      action(config, at) {
        const inside = at.at('typed_config')
        const { typeName, typeUrl, message } = unpackAny(config.typedConfig!, inside)
        if (typeName === ROUTE) return message === null ? null : [add(message as RouteMessage, inside)]
        if (typeName === ROUTE_LIST)
          return message === null ? null : (message as RouteList).routes.map((one, i) => add(one, inside.at('routes', i)))
        inside.error(`no action '${config.name}' of a virtual host's matcher (${describeType(typeUrl)}); there are Route and RouteList`)
        return null
      },
    },
    ctx,
  )
  return { routes, matcher: tree }
}
