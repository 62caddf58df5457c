// Formatter extensions of format strings -> the commands that they add. Called by access-log.ts and otlp-access-log.ts; format-string.ts, which
// knows the extensions, checks the texts by it.

import type { TypedExtensionConfig } from '../gen/envoy/config/core/v3/extension_pb.js'
import { typeNameOf, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { FORMATTER_TYPES } from './format-string.js'

/** The commands that the formatter extensions add; one that we do not have is an error, as in Envoy. */
export function decodeFormatters(formatters: readonly TypedExtensionConfig[], ctx: Ctx): ReadonlySet<string> {
  const commands = new Set<string>()
  for (const [i, formatter] of formatters.entries()) {
    const config = formatter.typedConfig
    const typeName = config === undefined ? '' : typeNameOf(unpackAny(config, ctx.at('formatters', i)).typeUrl)
    const command = FORMATTER_TYPES.get(typeName)
    if (command === undefined) ctx.at('formatters', i).error(`unknown formatter '${formatter.name}' (${typeName})`)
    else if (command !== null) commands.add(command)
  }
  return commands
}
