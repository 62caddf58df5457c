// The matcher of a virtual host through the real proxy: which routes it finds, in which order they are tried, what is refused. The real
// Envoy passes the same tests (OUTRIGGER_BIN).
import { afterAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { freePort, hcm, listener, ProxyProcess, stopAll } from '../support/proxy-process.js'

afterAll(stopAll)

const TYPE = 'type.googleapis.com/'
const header = (name: string): object => ({
  name: 'input',
  typed_config: { '@type': `${TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput`, header_name: name },
})
const route = (body: string, match: object = { prefix: '/' }): object => ({
  match,
  direct_response: { status: 200, body: { inline_string: body } },
})
const one = (body: string, match?: object): object => ({
  action: { name: 'route', typed_config: { '@type': `${TYPE}envoy.config.route.v3.Route`, ...route(body, match) } },
})
const list = (...routes: object[]): object => ({
  action: { name: 'routes', typed_config: { '@type': `${TYPE}envoy.config.route.v3.RouteList`, routes } },
})
const bootstrap = (port: number, hosts: readonly object[]): object => ({
  static_resources: { listeners: [listener('front', port, [hcm({ route_config: { name: 'r', virtual_hosts: hosts } })])] },
})
const host = (name: string, matcher: object, more: object = {}): object => ({ name, domains: [name], matcher, ...more })

describe('the matcher of a virtual host', () => {
  it('finds a route, or a list that is tried in order; what it does not find is 404', async () => {
    const port = await freePort()
    const tree = {
      matcher_tree: {
        input: header('x-team'),
        exact_match_map: {
          map: {
            blue: one('blue'),
            green: list(route('green one', { path: '/one' }), route('green any')),
            // The match of the route counts too.
            red: one('red', { path: '/red' }),
            deep: {
              matcher: {
                matcher_tree: { input: header(':path'), prefix_match_map: { map: { '/a': one('deep a'), '/a/b': one('deep b') } } },
                on_no_match: one('deep other'),
              },
            },
          },
        },
      },
    }
    const fields = {
      matcher_list: {
        matchers: [
          {
            predicate: {
              and_matcher: {
                predicate: [
                  { single_predicate: { input: header('x-a'), value_match: { prefix: '1' } } },
                  { not_matcher: { single_predicate: { input: header(':method'), value_match: { exact: 'POST' } } } },
                ],
              },
            },
            on_match: one('first'),
          },
          {
            predicate: { single_predicate: { input: header('x-a'), value_match: { safe_regex: { google_re2: {}, regex: '[0-9]+' } } } },
            on_match: one('second'),
          },
        ],
      },
      on_no_match: list(route('rest', { prefix: '/rest' })),
    }
    await ProxyProcess.start({ bootstrap: bootstrap(port, [host('tree.test', tree), host('list.test', fields)]) })
    const get = async (authority: string, path: string, headers: Record<string, string>): Promise<string> => {
      const { status, body } = await fetchOnce(port, path, { host: authority, ...headers })
      return status === 200 ? body : String(status)
    }
    const ofTree = (team: string, path = '/'): Promise<string> => get('tree.test', path, { 'x-team': team })
    expect(await ofTree('blue')).toBe('blue')
    expect(await ofTree('green', '/one')).toBe('green one')
    expect(await ofTree('green', '/two')).toBe('green any')
    expect(await ofTree('red', '/red')).toBe('red')
    expect(await ofTree('red', '/other')).toBe('404')
    expect(await ofTree('deep', '/a/b/c?d')).toBe('deep b')
    expect(await ofTree('deep', '/ab')).toBe('deep a')
    expect(await ofTree('deep', '/x')).toBe('deep other')
    expect(await ofTree('none')).toBe('404')
    expect(await get('tree.test', '/', {})).toBe('404')
    const ofList = (value: string, path = '/'): Promise<string> => get('list.test', path, { 'x-a': value })
    expect(await ofList('12')).toBe('first')
    expect(await ofList('22')).toBe('second')
    expect(await ofList('x', '/rest/1')).toBe('rest')
    expect(await ofList('x', '/other')).toBe('404')
  })

  it.each([
    ['routes beside it', host('a', { on_no_match: one('x') }, { routes: [route('y')] }), /both matcher and routes/],
    [
      'an input that is no request header',
      host('a', {
        matcher_tree: {
          input: { name: 'ip', typed_config: { '@type': `${TYPE}envoy.extensions.matching.common_inputs.network.v3.SourceIPInput` } },
          exact_match_map: { map: { x: one('x') } },
        },
      }),
      /input|request headers/,
    ],
    [
      'an action that is no route',
      host('a', { on_no_match: { action: { name: 'skip', typed_config: { '@type': `${TYPE}google.protobuf.StringValue`, value: 'x' } } } }),
      /action|StringValue/,
    ],
  ])('is refused with %s', async (_, bad, reason) => {
    const run = await ProxyProcess.run({ bootstrap: bootstrap(await freePort(), [bad]), flags: ['--mode', 'validate'] })
    expect(run.code).toBe(1)
    expect(run.stderr + run.stdout).toMatch(reason)
  })
})
