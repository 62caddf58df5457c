// docs/compatibility.md and the code agree: the flags, the paths of the admin API and the extensions that it lists are those that the
// program knows, and all of them. The fields behind it are compared in xds/resources/field-support.test.ts.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PROXY_HELP, parseProxyFlags } from '../src/cli/proxy-flags.js'
import { StatsStore } from '../src/metrics/stats-store.js'
import type { AdminOptions } from '../src/proxy/admin/admin-options.js'
import { adminRoutes } from '../src/proxy/admin/admin-routes.js'
import { knownSchemas } from '../src/xds/resources/schemas.js'

const page = readFileSync(new URL('../docs/compatibility.md', import.meta.url), 'utf8')
const section = (heading: string): string => page.split(/^## /m).find(text => text.startsWith(heading))!
const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)

describe('command line', () => {
  const listed = new Set(
    section('Command line')
      .match(/--?[a-z][a-z-]*/g)!
      .filter(flag => flag.startsWith('--')),
  )

  it('each flag of the page is known', () => {
    const unknown = [...listed].filter(flag => parseProxyFlags([flag, '1']).errors.some(error => error.includes('there is no such flag')))
    expect(unknown).toEqual([])
  })

  it('each flag of --help stands on the page', () => {
    expect(PROXY_HELP.match(/--[a-z][a-z-]*/g)!.filter(flag => !listed.has(flag))).toEqual([])
  })
})

it('the admin API has the paths of the page, and no others', () => {
  const stub = { store: new StatsStore(), server: {}, logging: { levelNames: [] } } as unknown as AdminOptions
  const paths = [...adminRoutes(stub).keys()].filter(path => !path.startsWith('/stats/recentlookups/'))
  const listed = quoted(section('Admin')).filter(word => word.startsWith('/'))
  expect(listed.sort()).toEqual(paths.sort())
})

/** A row of the page, and the part of a type's name that stands for an extension of that kind. */
const ROWS: readonly (readonly [row: string, type: RegExp])[] = [
  ['network filters', /^filters\.network\.(\w+)\./],
  ['listener filters', /^filters\.listener\.(\w+)\./],
  ['HTTP filters', /^filters\.http\.(?!upstream_codec)(\w+)\./],
  ['HTTP, besides', /^(?:http\.header_formatters|request_id|filters\.http(?=\.upstream_codec))\.(\w+)\./],
  ['early header mutations', /^http\.early_header_mutation\.(\w+)\./],
  ['session state', /^http\.stateful_session\.(\w+)\./],
  ['custom responses', /^http\.custom_response\.(\w+)\./],
  ['injected credentials', /^http\.injected_credentials\.(\w+)\./],
  ['transport sockets', /^transport_sockets\.(\w+)\.v3\.(?!Secret|SPIFFE)/],
  ['clusters', /^clusters\.(\w+)\./],
  ['DNS resolvers', /^network\.dns_resolver\.(\w+)\./],
  ['load balancing', /^load_balancing_policies\.(\w+)\./],
  ['internal redirects', /^internal_redirect\.(\w+)\./],
  ['retry', /^retry\.(?:host|priority)\.(\w+)\./],
]

describe('extensions', () => {
  const types = [...knownSchemas()].flatMap(({ typeName }) =>
    typeName.startsWith('envoy.extensions.') ? [typeName.slice('envoy.extensions.'.length)] : [],
  )

  it.each(ROWS)('%s', (row, pattern) => {
    const line = section('Extensions')
      .split('\n')
      .find(text => text.startsWith(`| ${row} |`))!
    const listed = quoted(line).map(word => word.replace(/^envoy\.clusters\./, ''))
    const known = new Set(types.flatMap(type => pattern.exec(type)?.[1] ?? []))
    expect(listed.filter(word => !word.includes('use_http_header')).sort()).toEqual([...known].sort())
  })
})
