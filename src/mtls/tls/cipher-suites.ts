// What tls_params.cipher_suites means to BoringSSL, so that a list chooses here what it chooses in Envoy and what Envoy refuses is refused: its
// suites, aliases, groups and operators, worked out to suites by their OpenSSL names. OpenSSL's own aliases are not asked: its `ALL` has
// anonymous suites and others that BoringSSL lacks. Called by secure-contexts.ts. A name of the TLS registry (TLS_ECDHE_…) is the same suite.

interface Suite {
  /** OpenSSL's. */
  readonly name: string
  readonly aliases: ReadonlySet<string>
  readonly strength: number
  /** Only chosen by its name, or as `3DES`. */
  readonly deprecated: boolean
}

/** Suites of TLS 1.2 and before, as BoringSSL prefers them; those of 1.3 cannot be chosen, and there are no pre-shared keys here. */
const NAMES: readonly (readonly [name: string, registered: string])[] = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES128-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-RSA-AES128-SHA', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA'],
  ['ECDHE-ECDSA-AES256-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-RSA-AES256-SHA', 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA'],
  ['ECDHE-ECDSA-AES128-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256'],
  ['ECDHE-RSA-AES128-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256'],
  ['AES128-GCM-SHA256', 'TLS_RSA_WITH_AES_128_GCM_SHA256'],
  ['AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384'],
  ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
  ['AES256-SHA', 'TLS_RSA_WITH_AES_256_CBC_SHA'],
  ['DES-CBC3-SHA', 'TLS_RSA_WITH_3DES_EDE_CBC_SHA'],
]

const SUITES: readonly Suite[] = NAMES.map(([name]) => ({
  name,
  aliases: new Set(aliasesOf(name)),
  strength: name.includes('AES128') ? 128 : name.startsWith('DES') ? 112 : 256,
  deprecated: /^ECDHE-.*-SHA256$/.test(name) ? !name.includes('GCM') : name.startsWith('DES'),
}))

const BY_NAME: ReadonlyMap<string, Suite> = new Map(
  NAMES.flatMap(([name, registered], i) => [name, registered].map(one => [one, SUITES[i]!] as const)),
)

const ALIASES: ReadonlySet<string> = new Set(SUITES.flatMap(({ aliases }) => [...aliases]))

function aliasesOf(name: string): string[] {
  const exchange = name.startsWith('ECDHE') ? ['ECDHE', 'EECDH', 'kECDHE', 'kEECDH'] : ['RSA', 'kRSA']
  const signature = name.includes('ECDSA') ? ['ECDSA', 'aECDSA'] : ['aRSA']
  const cipher = name.includes('CHACHA20')
    ? ['CHACHA20']
    : name.startsWith('DES')
      ? ['3DES']
      : ['AES', name.includes('AES128') ? 'AES128' : 'AES256']
  const mode = name.includes('GCM') ? ['AESGCM'] : []
  const hash = name.endsWith('-SHA') ? ['SHA', 'SHA1', 'SSLv3', 'TLSv1'] : ['TLSv1.2']
  return ['ALL', 'HIGH', 'FIPS', ...exchange, ...signature, ...cipher, ...mode, ...hash]
}

export interface CipherList {
  /** By OpenSSL's names, the preferred ones first. */
  readonly suites: readonly string[]
  /** What is no suite, alias or rule. */
  readonly unknown: readonly string[]
}

/** Null: nothing is said. */
export function cipherList(entries: readonly string[]): CipherList | null {
  const items = entries.flatMap(entry => entry.split(/[:,; ]/)).filter(item => item !== '')
  if (items.length === 0) return null
  const unknown: string[] = []
  const forbidden = new Set<Suite>()
  let chosen: Suite[] = []
  const take = (name: string, isFirst: boolean): readonly Suite[] => {
    const found = isFirst && name === 'DEFAULT' ? withAliases(['ALL']) : suitesOf(name)
    if (found === null) unknown.push(name)
    return found ?? []
  }
  for (const [i, item] of items.entries()) {
    if (item === '@STRENGTH') {
      chosen.sort((a, b) => b.strength - a.strength)
      continue
    }
    const rule = /^[-!+]/.exec(item)?.[0] ?? ''
    // Of equal preference, which OpenSSL does not have.
    const isGroup = item.startsWith('[') && item.endsWith(']')
    const names = isGroup ? item.slice(1, -1).split('|') : [item.slice(rule.length)]
    for (const name of names) {
      const found = new Set(take(name, i === 0 && rule === '' && !isGroup))
      if (rule === '') chosen.push(...[...found].filter(suite => !forbidden.has(suite) && !chosen.includes(suite)))
      else {
        const [met, others] = [chosen.filter(suite => found.has(suite)), chosen.filter(suite => !found.has(suite))]
        chosen = rule === '+' ? [...others, ...met] : others
        if (rule === '!') for (const suite of found) forbidden.add(suite)
      }
    }
  }
  return { suites: chosen.map(({ name }) => name), unknown }
}

/** A suite by its name; of aliases that are joined by `+`, those that are all of them. Null: there is no such name. */
function suitesOf(name: string): readonly Suite[] | null {
  const suite = BY_NAME.get(name)
  if (suite !== undefined) return [suite]
  const parts = name.split('+')
  return parts.every(part => ALIASES.has(part)) ? withAliases(parts) : null
}

function withAliases(parts: readonly string[]): readonly Suite[] {
  return SUITES.filter(({ aliases, deprecated }) => parts.every(part => aliases.has(part)) && (!deprecated || parts.includes('3DES')))
}
