import { describe, expect, it } from 'vitest'
import { decoded, decodeListenerJson, errorsOf, hcm, httpFilter, type Json, listenerJson, networkFilter, router, TYPE } from './messages.js'

const input = (name: string): Json => ({
  name,
  typed_config: { '@type': `${TYPE}envoy.extensions.matching.common_inputs.${name.includes('.') ? name : `network.v3.${name}Input`}` },
})
const header = (header_name: string): Json => ({
  name: 'h',
  typed_config: { '@type': `${TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput`, header_name },
})
const chain = (value: string): Json => ({ action: { name: 'a', typed_config: { '@type': `${TYPE}google.protobuf.StringValue`, value } } })
const verdict = (action: string): Json => ({
  action: { name: 'a', typed_config: { '@type': `${TYPE}envoy.config.rbac.v3.Action`, name: 'p', action } },
})
const map = (of: Json, end: Json): Json => ({ matcher_tree: { input: of, exact_match_map: { map: { k: end } } } })
const withChains = (filter_chain_matcher: Json, names: readonly string[] = ['x', 'y']): Json => {
  const listener = listenerJson({ filters: [hcm()] }, { filter_chain_matcher })
  return { ...listener, filter_chains: names.map(name => ({ name, filters: [hcm()] })) }
}
const rbac = (matcher: Json, network = false): Json =>
  listenerJson({
    filters: network
      ? [networkFilter('rbac.v3.RBAC', { stat_prefix: 'r', matcher }), hcm()]
      : [hcm({ http_filters: [httpFilter('rbac.v3.RBAC', { matcher }), router()] })],
  })

describe('filter_chain_matcher', () => {
  it('is a tree that ends in names of chains', () => {
    const { filterChainMatcher } = decoded(
      decodeListenerJson(withChains({ ...map(input('DestinationPort'), chain('x')), on_no_match: chain('y') })),
    )
    expect(filterChainMatcher).toEqual({
      kind: 'exact',
      input: { kind: 'destinationPort' },
      map: new Map([['k', { kind: 'action', action: 'x' }]]),
      onNoMatch: { kind: 'action', action: 'y' },
    })
  })

  it('needs chains with names of their own; their matches may be alike', () => {
    const matcher = map(input('SourceIP'), chain('x'))
    expect(decodeListenerJson(withChains(matcher)).ok).toBe(true)
    expect(errorsOf(decodeListenerJson(withChains(matcher, ['x', ''])))[0]).toContain('filter_chains[1].name: value is required')
    expect(errorsOf(decodeListenerJson(withChains(matcher, ['x', 'x'])))[0]).toContain(
      "filter_chains[1].name: 'x' is the name of an earlier",
    )
  })

  it.each([
    ['a header', map(header('x-a'), chain('x'))],
    ['a certificate', map(input('ssl.v3.UriSanInput'), chain('x'))],
    [
      'filter state',
      map({ name: 'f', typed_config: { '@type': `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}x.FilterStateInput` } }, chain('x')),
    ],
  ])('reads no %s', (_what, matcher) => {
    expect(errorsOf(decodeListenerJson(withChains(matcher))).join()).toMatch(
      /filter_chain_matcher\.matcher_tree\.input.*(no input|is required|unknown)/,
    )
  })
})

describe('matcher of RBAC', () => {
  it('ends in actions, and reads headers in the HTTP filter alone', () => {
    expect(decodeListenerJson(rbac(map(header('x-a'), verdict('DENY')))).ok).toBe(true)
    expect(decodeListenerJson(rbac(map(input('ssl.v3.UriSanInput'), verdict('ALLOW')), true)).ok).toBe(true)
    expect(errorsOf(decodeListenerJson(rbac(map(header('x-a'), verdict('DENY')), true))).join()).toContain("no input 'h' here")
    expect(errorsOf(decodeListenerJson(rbac(map(header('x-a'), chain('x'))))).join()).toContain('expected envoy.config.rbac.v3.Action')
  })

  it('bounds how deep it may go, and compiles its regexes', () => {
    let deep: Json = verdict('ALLOW')
    for (let i = 0; i < 20; i++) deep = { matcher: map(header('x-a'), deep) }
    expect(errorsOf(decodeListenerJson(rbac(map(header('x-a'), deep)))).join()).toContain('matchers may be nested 16 deep at most')
    const value_match = { safe_regex: { google_re2: {}, regex: '(' } }
    const list = {
      matcher_list: { matchers: [{ predicate: { single_predicate: { input: header('x-a'), value_match } }, on_match: verdict('ALLOW') }] },
    }
    expect(errorsOf(decodeListenerJson(rbac(list))).join()).toContain("invalid regex '('")
  })

  const one = (typed: Json, matcher: Json): Json => ({
    matcher_list: {
      matchers: [
        { predicate: { single_predicate: { input: { name: 'i', typed_config: typed }, ...matcher } }, on_match: verdict('ALLOW') },
      ],
    },
  })
  const cel = { '@type': `${TYPE}xds.type.matcher.v3.HttpAttributesCelMatchInput` }
  const metadata = {
    '@type': `${TYPE}envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput`,
    filter: 'jwt',
    path: [{ key: 'a' }, { key: 'b' }],
  }
  const custom = (type: string, config: Json): Json => ({ custom_match: { name: 'm', typed_config: { '@type': TYPE + type, ...config } } })
  const expression = (expr_match: Json): Json => custom('xds.type.matcher.v3.CelMatcher', { expr_match })
  const valued = (config: Json): Json => custom('envoy.extensions.matching.input_matchers.metadata.v3.Metadata', config)
  const expr = {
    call_expr: {
      function: '_==_',
      args: [{ select_expr: { operand: { ident_expr: { name: 'request' } }, field: 'path' } }, { const_expr: { string_value: '/' } }],
    },
  }
  const wanted = { value: { string_match: { exact: 'x' } } }

  it.each(['parsed_expr', 'checked_expr', 'cel_expr_parsed', 'cel_expr_checked'])('reads CEL as %s', field => {
    expect(decodeListenerJson(rbac(one(cel, expression({ [field]: { expr } })))).ok).toBe(true)
  })

  it('reads dynamic metadata', () => {
    expect(decodeListenerJson(rbac(one(metadata, valued({ ...wanted, invert: true })))).ok).toBe(true)
  })

  it.each([
    [
      'CEL as text',
      one(cel, expression({ cel_expr_string: 'true' })),
      /expr_match\.cel_expr_string: a parsed or a checked expression is wanted/,
    ],
    [
      'CEL that is none',
      one(cel, expression({ cel_expr_parsed: { expr: { ident_expr: { name: 'nothing' } } } })),
      /invalid CEL expression/,
    ],
    [
      'CEL as a text of the request',
      one(cel, { value_match: { exact: 'x' } }),
      /input 'i' goes with a custom_match by xds\.type\.matcher\.v3\.CelMatcher/,
    ],
    [
      'metadata by the matcher of CEL',
      one(metadata, expression({ cel_expr_parsed: { expr } })),
      /goes with a custom_match by envoy\..*Metadata/,
    ],
    ['metadata without a path', one({ ...metadata, path: [] }, valued(wanted)), /path: /],
    ['metadata without a value', one(metadata, valued({})), /value: value is required/],
  ])('refuses %s', (_, matcher, reason) => {
    expect(errorsOf(decodeListenerJson(rbac(matcher))).join()).toMatch(reason)
  })

  it('has neither where there is no request', () => {
    expect(errorsOf(decodeListenerJson(rbac(one(cel, expression({ cel_expr_parsed: { expr } })), true))).join()).toContain(
      "no input 'i' here",
    )
  })
})
