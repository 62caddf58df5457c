import { describe, expect, test } from 'vitest'
import type { EntryChange } from '../../../src/control/config-entries/entry-index.js'
import type { ConfigEntryKind } from '../../../src/control/config-entries/types.js'
import { validateWrite } from '../../../src/control/discovery-chain/validate-write.js'
import { entries, entry, intentions, protocol, resolver, router, splitter, subsets } from './entries.js'

type Raw = Record<string, unknown>

const put = (raw: Raw): EntryChange => ({ op: 'put', entry: entry(raw) })
const del = (kind: ConfigEntryKind, name: string): EntryChange => ({ op: 'delete', kind, name })
const reasons = (before: Raw[], change: EntryChange | EntryChange[]) =>
  validateWrite({ entries: entries(...before), change, datacenter: 'dc1', trustDomain: 'td.consul' }).map(error => error.reason)

const l7 = (name: string) => intentions(name, { Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/' } }] })
const jwtProvider = { Kind: 'jwt-provider', Name: 'okta', JSONWebKeySet: { Local: { Filename: '/k' } } }
const jwtIntentions = { ...intentions('api', { Name: 'web', Action: 'allow' }), JWT: { Providers: [{ Name: 'okta' }] } }
const httpDefaults = { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } }
const mesh = { Kind: 'mesh', AllowEnablingPermissiveMutualTLS: true }
const exported = { Kind: 'exported-services', Name: 'default', Services: [{ Name: 'db', Consumers: [{ Peer: 'east' }] }] }

describe('a write that would break something is refused with the reason', () => {
  test.each<[string, Raw[], EntryChange | EntryChange[], RegExp]>([
    ['a split on a tcp service', [], put(splitter('api', { Weight: 100 })), /does not permit advanced routing/],
    ['a route on a tcp service (consul#8466)', [protocol('api', 'tcp')], put(router('api', {})), /does not permit advanced routing/],
    [
      'a missing subset',
      [protocol('api', 'http'), resolver('api', subsets)],
      put(splitter('api', { Weight: 100, ServiceSubset: 'v3' })),
      /does not have a subset named "v3"/,
    ],
    [
      'a subset removed under another service’s split',
      [
        protocol('api', 'http'),
        protocol('web', 'http'),
        resolver('api', subsets),
        splitter('web', { Weight: 100, Service: 'api', ServiceSubset: 'v1' }),
      ],
      put(resolver('api', { Subsets: { v2: {} } })),
      /does not have a subset named "v1"/,
    ],
    [
      'the resolver of a subset deleted',
      [protocol('api', 'http'), resolver('api', subsets), splitter('api', { Weight: 100, ServiceSubset: 'v1' })],
      del('service-resolver', 'api'),
      /does not have a subset named "v1"/,
    ],
    [
      'the protocol under a split deleted',
      [protocol('api', 'http'), splitter('api', { Weight: 100 })],
      del('service-defaults', 'api'),
      /"tcp"/,
    ],
    [
      'the default protocol under a split deleted',
      [httpDefaults, splitter('api', { Weight: 100 })],
      del('proxy-defaults', 'global'),
      /"tcp"/,
    ],
    [
      'a protocol changed two hops away',
      [
        ...['a', 'b', 'c'].map(name => protocol(name, 'http')),
        splitter('a', { Weight: 100, Service: 'b' }),
        resolver('b', { Redirect: { Service: 'c' } }),
      ],
      put(protocol('c', 'grpc')),
      /inconsistent protocols/,
    ],
    [
      'a circle of redirects',
      [resolver('a', { Redirect: { Service: 'b' } })],
      put(resolver('b', { Redirect: { Service: 'a' } })),
      /circular/,
    ],
    ['L7 intentions on a tcp service', [], put(l7('api')), /"tcp", which is incompatible with L7 intentions/],
    ['tcp under L7 intentions', [protocol('api', 'http'), l7('api')], put(protocol('api', 'tcp')), /incompatible with L7 intentions/],
    ['the default protocol under L7 intentions deleted', [httpDefaults, l7('api')], del('proxy-defaults', 'global'), /incompatible/],
    ['JWT intentions on a tcp service', [jwtProvider], put(jwtIntentions), /incompatible with JWT/],
    ['an unknown JWT provider', [protocol('api', 'http')], put(jwtIntentions), /"okta" does not exist/],
    [
      'a JWT provider in use deleted',
      [protocol('api', 'http'), jwtProvider, jwtIntentions],
      del('jwt-provider', 'okta'),
      /still named by .* "api"/,
    ],
    ['permissive mTLS without leave', [], put({ Kind: 'service-defaults', Name: 'api', MutualTLSMode: 'permissive' }), /AllowEnabling/],
    ['a redirect to another datacenter', [], put(resolver('db', { Redirect: { Service: 'db', Datacenter: 'dc2' } })), /only peering leads/],
    [
      'a failover to another datacenter',
      [],
      put(resolver('db', { Failover: { '*': { Datacenters: ['dc1', 'dc2'] } } })),
      /only peering leads/,
    ],
    [
      'an exported chain that leaves the datacenter',
      [exported],
      put(resolver('db', { Redirect: { Service: 'db', Datacenter: 'dc2' } })),
      /leaves the datacenter/,
    ],
    [
      'an exported tcp chain with a new identity',
      [exported],
      put(resolver('db', { Failover: { '*': { Service: 'db2' } } })),
      /gain the identity of "db2"/,
    ],
  ])('%s', (_name, before, change, reason) => {
    expect(reasons(before, change).join('\n')).toMatch(reason)
  })

  test.each<[string, Raw[], EntryChange | EntryChange[]]>([
    ['a split on an http service', [protocol('api', 'http')], put(splitter('api', { Weight: 100 }))],
    ['protocol and split in one change', [], [put(splitter('api', { Weight: 100 })), put(protocol('api', 'http'))]],
    [
      'split and protocol deleted together',
      [protocol('api', 'http'), splitter('api', { Weight: 100 })],
      [del('service-defaults', 'api'), del('service-splitter', 'api')],
    ],
    ['an unrelated service while others exist', [protocol('api', 'http'), splitter('api', { Weight: 100 })], put(protocol('db', 'tcp'))],
    ['L4 intentions on a tcp service', [], put(intentions('db', { Name: 'web', Action: 'allow' }))],
    ['L7 intentions with an http default', [httpDefaults], put(l7('api'))],
    ['JWT intentions with their provider', [httpDefaults, jwtProvider], put(jwtIntentions)],
    ['permissive mTLS with leave', [mesh], put({ Kind: 'service-defaults', Name: 'api', MutualTLSMode: 'permissive' })],
    ['a JWT provider nobody uses deleted', [jwtProvider], del('jwt-provider', 'okta')],
    ['something that is not there deleted', [], del('service-router', 'api')],
  ])('accepted: %s', (_name, before, change) => {
    expect(reasons(before, change)).toEqual([])
  })

  test('one broken chain reached in several ways is reported once', () => {
    const before = [protocol('api', 'http'), protocol('web', 'http'), splitter('web', { Weight: 100, Service: 'api' })]
    expect(reasons(before, put(splitter('api', { Weight: 100, ServiceSubset: 'nope' })))).toEqual([
      'service "api" does not have a subset named "nope"',
    ])
  })
})
