// The intention table of a destination (`model/intention.ts`): what the control plane puts into a listener's
// `filter_metadata["outrigger"].intentions`, so that a sidecar can name the intention that denied.
// Called by the snapshot. JSON-able, in order of precedence, without intentions that another one with the same source shadows.
import type { IntentionTable, IntentionPermission as TablePermission, Intention as TableRow } from '../../model/intention.js'
import type { HeaderMatch, IntentionPermission } from '../config-entries/types.js'
import { sortIntentions, withoutShadowed } from './match.js'
import type { Intention, IntentionPolicy } from './types.js'

export function intentionTable(destination: string, intentions: readonly Intention[], policy: IntentionPolicy): IntentionTable {
  return {
    destination,
    defaultAction: policy.defaultAction,
    intentions: withoutShadowed(sortIntentions(intentions)).map(intention => row(intention, policy.http)),
  }
}

function row(intention: Intention, http: boolean): TableRow {
  const jwt = intention.jwt !== undefined
  const permissions = intention.permissions?.map(permission => tablePermission(permission, jwt))
  // A token is asked for by a permission that matches everything.
  const rows = permissions ?? (jwt && intention.action === 'allow' ? [{ action: 'allow', jwt: true } as const] : undefined)
  const separator = intention.name.lastIndexOf(' -> ')
  return {
    name: intention.name,
    source: intention.name.slice(0, separator),
    destination: intention.destination,
    precedence: intention.precedence,
    // Over tcp there is nothing to match permissions against: the intention denies its source, and keeps them for the explanation.
    action: rows === undefined ? intention.action! : http ? 'permissions' : 'deny',
    ...(rows !== undefined && { permissions: rows }),
  }
}

/** One permission as the table has it; `entryJwt`: the whole entry asks for a token. */
export function tablePermission({ Action, HTTP: http, JWT }: IntentionPermission, entryJwt = false): TablePermission {
  const { PathExact, PathPrefix, PathRegex, Methods, Header } = http ?? {}
  const path =
    PathExact !== undefined
      ? ({ kind: 'exact', value: PathExact } as const)
      : PathPrefix !== undefined
        ? ({ kind: 'prefix', value: PathPrefix } as const)
        : PathRegex !== undefined
          ? ({ kind: 'regex', value: PathRegex } as const)
          : undefined
  return {
    action: Action,
    ...(path && { path }),
    ...(Methods && { methods: Methods }),
    ...(Header && { headers: Header.map(headerRow) }),
    ...(Action === 'allow' && (JWT !== undefined || entryJwt) && { jwt: true }),
  }
}

function headerRow(header: HeaderMatch): NonNullable<TablePermission['headers']>[number] {
  const { Name, Exact, Prefix, Suffix, Contains, Regex, Invert, IgnoreCase } = header
  const found = (
    [
      ['exact', Exact],
      ['prefix', Prefix],
      ['suffix', Suffix],
      ['contains', Contains],
      ['regex', Regex],
    ] as const
  ).find(([, value]) => value !== undefined)
  return {
    name: Name.toLowerCase(),
    kind: found === undefined ? 'present' : found[0],
    ...(found !== undefined && { value: found[1]! }),
    ...(Invert && { invert: true }),
    ...(IgnoreCase && { ignoreCase: true }),
  }
}
