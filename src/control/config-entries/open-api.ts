// The shapes of config entries as OpenAPI schemas, in the structural form that Kubernetes asks of custom resources: what `outrigger k8s crds` prints
// (cli/commands/k8s/crds.ts). Made from the zod schemas that read the entries, so there is one description of them.
// Invariant: every field that an entry has stands there, in camel case; what is free-form is kept as it is.
import type { z } from 'zod'
import { SCHEMAS } from './schemas.js'
import type { ConfigEntryKind } from './types.js'

export interface OpenApiSchema {
  readonly type?: string
  readonly format?: string
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: OpenApiSchema
  readonly properties?: Readonly<Record<string, OpenApiSchema>>
  readonly additionalProperties?: OpenApiSchema
  readonly 'x-kubernetes-preserve-unknown-fields'?: true
  readonly 'x-kubernetes-int-or-string'?: true
}

/** Of the resource itself, or written by the store. */
const NOT_IN_SPEC: ReadonlySet<string> = new Set(['Kind', 'Name', 'CreateIndex', 'ModifyIndex', 'Hash'])
const FREE: OpenApiSchema = { 'x-kubernetes-preserve-unknown-fields': true }

/** Of the `spec` of a custom resource. */
export function openApiOf(kind: ConfigEntryKind): OpenApiSchema {
  const { properties = {}, ...rest } = schemaOf(SCHEMAS.get(kind)!)
  return { ...rest, properties: Object.fromEntries(Object.entries(properties).filter(([name]) => !NOT_IN_SPEC.has(upperFirst(name)))) }
}

/** What zod says of a schema, as far as it is read. */
interface Definition {
  readonly type: string
  readonly in?: z.ZodType
  readonly out?: z.ZodType
  readonly innerType?: z.ZodType
  readonly element?: z.ZodType
  readonly valueType?: z.ZodType
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly entries?: Readonly<Record<string, string>>
  readonly options?: readonly z.ZodType[]
}

function schemaOf(schema: z.ZodType): OpenApiSchema {
  const definition = schema.def as Definition
  switch (definition.type) {
    // A reading before the schema, or a change after it: the form is that of the schema.
    case 'pipe':
      return schemaOf((definition.in!.def as Definition).type === 'transform' ? definition.out! : definition.in!)
    case 'optional':
      return schemaOf(definition.innerType!)
    case 'object':
      return {
        type: 'object',
        properties: Object.fromEntries(Object.entries(definition.shape!).map(([name, field]) => [camelCase(name), schemaOf(field)])),
      }
    case 'record':
      return { type: 'object', additionalProperties: schemaOf(definition.valueType!) }
    case 'array':
      return { type: 'array', items: schemaOf(definition.element!) }
    case 'enum':
      return { type: 'string', enum: Object.values(definition.entries!) }
    case 'string':
      return { type: 'string' }
    case 'boolean':
      return { type: 'boolean' }
    case 'number':
      return numberOf(schema as z.ZodNumber)
    case 'union':
      // A duration: Go's text, or nanoseconds.
      return { 'x-kubernetes-int-or-string': true }
    default:
      return FREE
  }
}

function numberOf({ format, minValue, maxValue }: z.ZodNumber): OpenApiSchema {
  const whole = format === 'safeint'
  const limit = (value: number | null): number | undefined => (value === null || Math.abs(value) >= 2 ** 53 - 1 ? undefined : value)
  const minimum = limit(minValue)
  const maximum = limit(maxValue)
  return {
    type: whole ? 'integer' : 'number',
    ...(whole ? { format: 'int64' } : {}),
    ...(minimum === undefined || !Number.isFinite(minimum) ? {} : { minimum }),
    ...(maximum === undefined || !Number.isFinite(maximum) ? {} : { maximum }),
  }
}

/** As consul-k8s writes them: `TransparentProxy` transparentProxy, `HTTP` http, `TLSMinVersion` tlsMinVersion, `ExternalSNI` externalSNI. */
function camelCase(name: string): string {
  const [capitals = ''] = /^[A-Z]+/.exec(name) ?? []
  const lowered = capitals.length === name.length || capitals.length === 1 ? capitals.length : capitals.length - 1
  return name.slice(0, lowered).toLowerCase() + name.slice(lowered)
}

function upperFirst(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}
