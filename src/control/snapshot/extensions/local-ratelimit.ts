// `builtin/http/localratelimit`: a token bucket before all filters of the public listener's HTTP connection manager.
import { LocalRateLimitSchema } from '../../../xds/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import { FractionalPercent_DenominatorType as Denominator } from '../../../xds/gen/envoy/type/v3/percent_pb.js'
import type { FieldReader } from '../../config-entries/field-reader.js'
import { duration, pack } from '../protobuf.js'
import type { EnvoyExtension } from './envoy-extension.js'
import { insertFilter } from './insert-filter.js'

const MAX = 2 ** 31 - 1

export function readLocalRateLimit(args: FieldReader): EnvoyExtension {
  const proxyType = args.string('ProxyType')
  if (proxyType !== 'connect-proxy') args.fail('ProxyType', `must be connect-proxy, not "${proxyType}"`)
  for (const name of ['MaxTokens', 'FillInterval']) if (!args.has(name)) args.fail(name, 'missing')
  const maxTokens = args.integer('MaxTokens', 1, MAX, 1)
  const tokensPerFill = args.integer('TokensPerFill', 1, MAX, 1)
  const fillSeconds = args.integer('FillInterval', 1, MAX, 1)
  const enabled = percent(args, 'FilterEnabled')
  const enforced = percent(args, 'FilterEnforced')
  const config = pack(LocalRateLimitSchema, {
    statPrefix: 'local_ratelimit',
    tokenBucket: { maxTokens, tokensPerFill, fillInterval: duration(fillSeconds * 1_000) },
    ...(enabled === undefined ? {} : { filterEnabled: enabled }),
    ...(enforced === undefined ? {} : { filterEnforced: enforced }),
  })
  return {
    listener(listener, place) {
      if (place.isPublic)
        insertFilter(listener, 'http', { name: 'envoy.filters.http.local_ratelimit', config }, { Location: 'First', FilterName: '' })
    },
  }
}

function percent(args: FieldReader, name: string) {
  if (!args.has(name)) return undefined
  return { defaultValue: { numerator: args.integer(name, 0, 100, 0), denominator: Denominator.HUNDRED } }
}
