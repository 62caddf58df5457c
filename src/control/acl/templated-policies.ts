// Policies that are made from a name: Consul's templates (`builtin/service` …), and the older service and node identities, which say the
// same. Called by token-resolver.ts for what a token is given and by http-api/acl.ts for listing and previews.
import type { NodeIdentity, ServiceIdentity, TemplatedPolicy } from './acl-types.js'

export interface PolicyTemplate {
  readonly TemplateName: string
  /** JSON schema of its variables, as text; '' where it has none. */
  readonly Schema: string
  readonly Template: string
  readonly Description: string
}

const NAME_SCHEMA = JSON.stringify(
  {
    type: 'object',
    properties: { name: { type: 'string', $ref: '#/definitions/min-length-one' } },
    required: ['name'],
    definitions: { 'min-length-one': { type: 'string', minLength: 1 } },
  },
  null,
  '\t',
)
const rule = (resource: string, name: string, access: string): string => `${resource} "${name}" {\n\tpolicy = "${access}"\n}`
const NAME = '{{.Name}}'
const SEE_ALL = [rule('service_prefix', '', 'read'), rule('node_prefix', '', 'read')]

const TEMPLATES: readonly PolicyTemplate[] = [
  template('service', 'What a service and its sidecar proxy need', [
    rule('service', NAME, 'write'),
    rule('service', `${NAME}-sidecar-proxy`, 'write'),
    ...SEE_ALL,
  ]),
  template('node', 'What an agent needs to register its node and look for services', [
    rule('node', NAME, 'write'),
    rule('service_prefix', '', 'read'),
  ]),
  template('dns', 'What answering DNS questions needs', [...SEE_ALL, rule('query_prefix', '', 'read')]),
  template('nomad-server', "What a Nomad server's agent needs", [
    'acl = "write"',
    rule('agent_prefix', '', 'read'),
    rule('node_prefix', '', 'read'),
    rule('service_prefix', '', 'write'),
  ]),
  template('nomad-client', "What a Nomad client's agent needs", [
    rule('agent_prefix', '', 'read'),
    rule('node_prefix', '', 'read'),
    rule('service_prefix', '', 'write'),
    rule('key_prefix', '', 'read'),
  ]),
  template('workload-identity', 'What names a workload identity, which nothing here asks for', [rule('identity', NAME, 'write')]),
  template('api-gateway', 'What an API gateway needs', ['mesh = "read"', ...SEE_ALL, rule('service', NAME, 'write')]),
]

function template(name: string, description: string, rules: readonly string[]): PolicyTemplate {
  const text = rules.join('\n')
  return { TemplateName: `builtin/${name}`, Schema: text.includes(NAME) ? NAME_SCHEMA : '', Template: text, Description: description }
}

export function templates(): readonly PolicyTemplate[] {
  return TEMPLATES
}

export function templateOf(name: string): PolicyTemplate | undefined {
  return TEMPLATES.find(({ TemplateName }) => TemplateName === name)
}

/** Names that rules are made from; anything else could write rules of its own. */
const SERVICE_NAME = /^[a-z0-9]([a-z0-9_-]{0,254}[a-z0-9])?$/
const NODE_NAME = SERVICE_NAME

/** Why the identity, or template with its variables, can't be used; null when it can. */
export function identityProblem(identity: ServiceIdentity | NodeIdentity | TemplatedPolicy): string | null {
  if ('ServiceName' in identity) {
    if (identity.ServiceName === '') return 'Service identity is missing the service name field on this token'
    return SERVICE_NAME.test(identity.ServiceName)
      ? null
      : `Service identity "${identity.ServiceName}" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`
  }
  if ('NodeName' in identity) {
    if (identity.NodeName === '') return 'Node identity is missing the node name field on this token'
    if (identity.Datacenter === '') return 'Node identity is missing the datacenter field on this token'
    return NODE_NAME.test(identity.NodeName)
      ? null
      : `Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`
  }
  const found = templateOf(identity.TemplateName)
  if (found === undefined) return `no such ACL templated policy with Name "${identity.TemplateName}"`
  const name = identity.TemplateVariables?.Name ?? ''
  if (found.Schema === '') return null
  if (name === '') return `validation error for templated policy: name: String length must be greater than or equal to 1`
  return SERVICE_NAME.test(name) ? null : `templated policy "${identity.TemplateName}": the name "${name}" is not one of a service or node`
}

export const serviceIdentityRules = (name: string): string => rendered('builtin/service', name)
export const nodeIdentityRules = (name: string): string => rendered('builtin/node', name)

/** Rules of a template; `name` was judged by `identityProblem`. */
export function rendered(templateName: string, name: string): string {
  return templateOf(templateName)!.Template.replaceAll(NAME, name)
}
