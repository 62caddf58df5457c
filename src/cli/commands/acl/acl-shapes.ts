// What the ACL endpoints answer, as far as the commands use it, and how the commands print it (Consul's `-format=pretty`).
import { formatFields } from '../../command-line/print.js'

/** Where values begin, as scripts that cut columns know it. */
const TOKEN_COLUMN = 18
const COLUMN = 14

export interface Link {
  readonly ID: string
  readonly Name: string
}

interface Granted {
  readonly Policies?: readonly Link[] | null
  readonly ServiceIdentities?: readonly { readonly ServiceName: string; readonly Datacenters?: readonly string[] }[] | null
  readonly NodeIdentities?: readonly { readonly NodeName: string; readonly Datacenter: string }[] | null
  readonly TemplatedPolicies?:
    | readonly {
        readonly TemplateName: string
        readonly TemplateVariables?: { readonly Name?: string }
        readonly Datacenters?: readonly string[]
      }[]
    | null
}

export interface Token extends Granted {
  readonly AccessorID: string
  readonly SecretID?: string
  readonly Description: string
  readonly Local: boolean
  readonly AuthMethod?: string
  readonly CreateTime: string
  readonly ExpirationTime?: string
  readonly Roles?: readonly Link[] | null
  readonly ExpandedPolicies?: readonly Policy[]
  readonly AgentACLDefaultPolicy?: string
  readonly AgentACLDownPolicy?: string
}

export interface Policy extends Link {
  readonly Description: string
  readonly Rules?: string
  readonly Datacenters?: readonly string[] | null
}

export interface Role extends Link, Granted {
  readonly Description: string
}

export interface AuthMethod {
  readonly Name: string
  readonly Type: string
  readonly DisplayName?: string
  readonly Description: string
  readonly MaxTokenTTL?: string
  readonly TokenLocality?: string
  readonly Config?: unknown
}

export interface BindingRule {
  readonly ID: string
  readonly AuthMethod: string
  readonly Description: string
  readonly BindType: string
  readonly BindName: string
  readonly BindVars?: { readonly Name?: string } | null
  readonly Selector: string
}

export function tokenText(token: Token): string {
  return (
    formatFields(
      [
        ['AccessorID', token.AccessorID],
        ['SecretID', token.SecretID],
        ['Description', token.Description],
        ['Local', String(token.Local)],
        ['Auth Method', token.AuthMethod || undefined],
        ['Create Time', token.CreateTime],
        ['Expiration Time', token.ExpirationTime],
      ],
      TOKEN_COLUMN,
    ) +
    links('Policies', token.Policies) +
    links('Roles', token.Roles) +
    grantsText(token) +
    (token.ExpandedPolicies ?? []).map(policy => `Policy:\n${indented(policyText(policy))}`).join('') +
    formatFields(
      [
        ['Default Policy', token.AgentACLDefaultPolicy],
        ['Down Policy', token.AgentACLDownPolicy],
      ],
      TOKEN_COLUMN,
    )
  )
}

export function policyText(policy: Policy): string {
  return (
    formatFields(
      [
        ['ID', policy.ID],
        ['Name', policy.Name],
        ['Description', policy.Description],
        ['Datacenters', (policy.Datacenters ?? []).join(', ')],
      ],
      COLUMN,
    ) + (policy.Rules === undefined ? '' : `Rules:\n${policy.Rules.replace(/\n*$/, '\n')}`)
  )
}

export function roleText(role: Role): string {
  return (
    formatFields(
      [
        ['ID', role.ID],
        ['Name', role.Name],
        ['Description', role.Description],
      ],
      COLUMN,
    ) +
    links('Policies', role.Policies) +
    grantsText(role)
  )
}

export function authMethodText(method: AuthMethod): string {
  return (
    formatFields([
      ['Name', method.Name],
      ['Type', method.Type],
      ['DisplayName', method.DisplayName || undefined],
      ['Description', method.Description],
      ['MaxTokenTTL', method.MaxTokenTTL === '0s' ? undefined : method.MaxTokenTTL || undefined],
      ['TokenLocality', method.TokenLocality || undefined],
    ]) + (method.Config === undefined ? '' : `Config:\n${JSON.stringify(method.Config, null, 2)}\n`)
  )
}

export function bindingRuleText(rule: BindingRule): string {
  return formatFields(
    [
      ['ID', rule.ID],
      ['AuthMethod', rule.AuthMethod],
      ['Description', rule.Description],
      ['BindType', rule.BindType],
      ['BindName', rule.BindName],
      ['BindVars', rule.BindVars?.Name === undefined ? undefined : `Name=${rule.BindVars.Name}`],
      ['Selector', rule.Selector],
    ],
    COLUMN,
  )
}

function links(title: string, list: readonly Link[] | null | undefined): string {
  return (list ?? []).length === 0 ? '' : `${title}:\n${list!.map(({ ID, Name }) => `   ${ID} - ${Name}\n`).join('')}`
}

function grantsText({ ServiceIdentities, NodeIdentities, TemplatedPolicies }: Granted): string {
  const section = (title: string, lines: readonly string[]): string =>
    lines.length === 0 ? '' : `${title}:\n${lines.map(line => `   ${line}\n`).join('')}`
  const inDatacenters = (names: readonly string[] | undefined): string => `(Datacenters: ${(names ?? []).join(', ') || 'all'})`
  return (
    section(
      'Service Identities',
      (ServiceIdentities ?? []).map(each => `${each.ServiceName} ${inDatacenters(each.Datacenters)}`),
    ) +
    section(
      'Node Identities',
      (NodeIdentities ?? []).map(each => `${each.NodeName} (Datacenter: ${each.Datacenter})`),
    ) +
    section(
      'Templated Policies',
      (TemplatedPolicies ?? []).map(each => {
        const name = each.TemplateVariables?.Name
        return `${each.TemplateName}${name === undefined ? '' : ` (Name: ${name})`} ${inDatacenters(each.Datacenters)}`
      }),
    )
  )
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '   ')
}
