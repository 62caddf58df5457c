// What Consul's agent configuration declares beside settings: services, checks of the node and of services, and config entries that are there from
// the start. Applied by `ControlPlane` at the start and at each reload; the files themselves are read by the command line.
// Invariant: a definition that is wrong applies nothing of its set, and says where it stands.
import { parseCheckDefinition } from './catalog/check-definition.js'
import { parseServiceDefinition } from './catalog/service-definition.js'
import { parseConfigEntry } from './config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigError } from './config-entries/types.js'
import {
  type ApplyReport,
  applyDeclared,
  checkItem,
  type DeclaredItem,
  type DeclaredTargets,
  entryItem,
  refusedSet,
  refuseTwins,
  serviceItem,
} from './declared-items.js'

export interface AgentDefinitions {
  readonly services: readonly object[]
  readonly checks: readonly object[]
  /** `config_entries.bootstrap`: written where there is no entry of that kind and name, and never removed. */
  readonly configEntries: readonly object[]
}

const OWNER = 'agent:'

export async function applyAgentDefinitions(definitions: AgentDefinitions, targets: DeclaredTargets): Promise<ApplyReport> {
  const { entries } = targets
  const errors: ConfigError[] = []
  const bootstrap = definitions.configEntries.map((raw, i) => entryItem(raw, `config_entries.bootstrap[${i}]`, errors))
  const items = [
    ...definitions.services.map((raw, i) => serviceItem(raw, `services[${i}]`, targets, errors)),
    ...definitions.checks.map((raw, i) => checkItem(raw, `checks[${i}]`, targets, errors)),
  ]
    .filter(item => item !== undefined)
    .map((item): DeclaredItem => ({ ...item, isThere: () => isThere(item.key, targets) }))
  refuseTwins(items, errors)
  if (errors.length > 0) return refusedSet(errors)
  const missing = bootstrap.filter(item => item?.content.entry !== undefined && !hasEntry(item.content.entry))
  return applyDeclared(items, OWNER, targets, { unrecorded: missing as DeclaredItem[] })

  function hasEntry({ Kind, Name }: ConfigEntry): boolean {
    return entries.get(Kind, Name) !== undefined
  }
}

/** What is wrong with the form of the definitions, without applying any. */
export function checkAgentDefinitions(
  { services, checks, configEntries }: AgentDefinitions,
  options: { readonly scripts: boolean },
): ConfigError[] {
  const errors: ConfigError[] = []
  const add = (path: string, problems: readonly ConfigError[]): void => {
    for (const problem of problems) errors.push({ path: problem.path === '' ? path : `${path}.${problem.path}`, reason: problem.reason })
  }
  services.forEach((raw, i) => {
    const parsed = parseServiceDefinition(raw, { strict: true, scripts: options.scripts })
    if (!parsed.ok) add(`services[${i}]`, parsed.errors)
  })
  checks.forEach((raw, i) => {
    const parsed = parseCheckDefinition(raw, options)
    if (!parsed.ok) add(`checks[${i}]`, parsed.errors)
  })
  configEntries.forEach((raw, i) => {
    const parsed = parseConfigEntry(raw)
    if ('errors' in parsed) add(`config_entries.bootstrap[${i}]`, parsed.errors)
  })
  return errors
}

/** A service that was deregistered over HTTP is there again after a reload, as with Consul's agent. */
function isThere(key: string, { catalog }: DeclaredTargets): boolean {
  const slash = key.indexOf('/')
  const id = key.slice(slash + 1)
  return key.startsWith('service/') ? catalog.instance(id) !== undefined : catalog.check(id) !== undefined
}
