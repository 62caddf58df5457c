// original_ip_detection_extensions of a connection manager -> model. Called by http-connection-manager.ts. An unknown one is refused: it
// decides whose address rules and logs see.

import type { IpDetection } from '../../model/http-connection-manager.js'
import type { TypedExtensionConfig } from '../gen/envoy/config/core/v3/extension_pb.js'
import {
  type CustomHeaderConfig,
  CustomHeaderConfigSchema,
} from '../gen/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header_pb.js'
import { type XffConfig, XffConfigSchema } from '../gen/envoy/extensions/http/original_ip_detection/xff/v3/xff_pb.js'
import { decodeCidrs } from './address.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { isHeaderName } from './values.js'

export function decodeIpDetection(extensions: readonly TypedExtensionConfig[], ctx: Ctx, field: string): IpDetection[] {
  return extensions.map((extension, i) => decodeOne(extension, ctx.at(field, i))).filter(detection => detection !== null)
}

function decodeOne({ name, typedConfig }: TypedExtensionConfig, ctx: Ctx): IpDetection | null {
  if (typedConfig === undefined) return null // reported
  const at = ctx.at('typed_config')
  const { typeName, typeUrl, message, known } = unpackAny(typedConfig, at)
  if (message !== null && typeName === XffConfigSchema.typeName) return decodeXff(message as XffConfig, at)
  if (message !== null && typeName === CustomHeaderConfigSchema.typeName) return decodeCustomHeader(message as CustomHeaderConfig, at)
  if (message !== null || !known) at.error(`unknown original IP detection extension '${name}' (${describeType(typeUrl)})`)
  return null
}

function decodeXff({ xffNumTrustedHops, xffTrustedCidrs, skipXffAppend }: XffConfig, ctx: Ctx): IpDetection {
  if (xffTrustedCidrs !== undefined && xffNumTrustedHops > 0) {
    ctx.at('xff_trusted_cidrs').error('cannot be set together with xff_num_trusted_hops')
  }
  return {
    kind: 'xff',
    trustedHops: xffTrustedCidrs === undefined ? xffNumTrustedHops : 0,
    trustedCidrs: decodeCidrs(xffTrustedCidrs?.cidrs ?? [], ctx.at('xff_trusted_cidrs'), 'cidrs'),
    skipAppend: skipXffAppend ?? true,
  }
}

function decodeCustomHeader(config: CustomHeaderConfig, ctx: Ctx): IpDetection {
  const header = config.headerName.toLowerCase()
  if (header !== '' && !isHeaderName(header)) ctx.at('header_name').error(`'${config.headerName}' is not a valid header name`)
  return {
    kind: 'customHeader',
    header,
    trusted: config.allowExtensionToSetAddressAsTrusted,
    rejectStatus: config.rejectWithStatus === undefined ? null : config.rejectWithStatus.code,
  }
}
