// The Envoy extensions of a service, read and checked. Called by kinds/sidecar.ts for each view; an extension with wrong arguments, or one
// that is not here, is `RefusedConfig`, which refuses the entry when it is written.
import { FieldReader } from '../../config-entries/field-reader.js'
import type { ConfigError, EnvoyExtension as ExtensionEntry } from '../../config-entries/types.js'
import { CONSUL_VERSION } from '../../consul-version.js'
import { RefusedConfig } from '../kinds/proxy-kind.js'
import type { EnvoyExtension, NamedExtension } from './envoy-extension.js'
import { readExtAuthz } from './ext-authz.js'
import { readLocalRateLimit } from './local-ratelimit.js'
import { readOtelAccessLogging } from './otel-access-logging.js'
import { readPropertyOverride } from './property-override.js'
import { meetsConstraint } from './version-constraint.js'

/** The Envoy whose configuration is made here. */
const ENVOY_VERSION = '1.40.0'

const READERS: Readonly<Record<string, (args: FieldReader, required: boolean) => EnvoyExtension>> = {
  'builtin/ext-authz': readExtAuthz,
  'builtin/http/localratelimit': readLocalRateLimit,
  'builtin/otel-access-logging': readOtelAccessLogging,
  'builtin/property-override': readPropertyOverride,
}
const REFUSED: Readonly<Record<string, string>> = {
  'builtin/lua': 'sidecars run no scripts',
  'builtin/wasm': 'sidecars run no modules',
  'builtin/aws/lambda': 'sidecars do not call AWS',
  'builtin/ext-proc': 'sidecars have no external processing',
}

/** Those whose version constraints hold, in order; `problems` takes those whose don't. */
export function readExtensions(entries: readonly ExtensionEntry[], problems: ConfigError[]): NamedExtension[] {
  return entries.flatMap((entry, i) => {
    const { Name: name, Required: required = false } = entry
    const path = `EnvoyExtensions[${i}]`
    const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined
    if (read === undefined)
      throw new RefusedConfig(`extension "${name}" is not supported${Object.hasOwn(REFUSED, name) ? `: ${REFUSED[name]}` : ''}`)
    const errors: ConfigError[] = []
    const args = new FieldReader(entry.Arguments ?? {}, '', errors)
    const extension = read(args, required)
    args.refuseUnknown()
    const [first] = errors
    if (first !== undefined) throw new RefusedConfig(`extension "${name}": ${first.path === '' ? '' : `${first.path}: `}${first.reason}`)
    for (const [field, version] of [
      ['ConsulVersion', CONSUL_VERSION],
      ['EnvoyVersion', ENVOY_VERSION],
    ] as const) {
      const constraint = entry[field]
      if (constraint === undefined) continue
      const meets = meetsConstraint(version, constraint)
      if (meets === undefined) throw new RefusedConfig(`extension "${name}": ${field}: "${constraint}" is no version constraint`)
      if (meets) continue
      if (required) throw new RefusedConfig(`extension "${name}" is required, but not for ${field} ${version} (${constraint})`)
      problems.push({ path: `${path}.${field}`, reason: `extension "${name}" is not for version ${version}` })
      return []
    }
    return [{ name, required, extension }]
  })
}
