// internal_redirect_policy through the real proxy: a redirect of the upstream is followed inside, with its body, headers and limits, or
// passed on with a reason in the statistics. OUTRIGGER_BIN=<the real Envoy> runs the same tests against it.
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, Front, to } from '../support/front-proxy.js'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { staticCluster, stopAll } from '../support/proxy-process.js'

const app = new HttpOrigin()
/** Redirects as soon as a request begins. */
const hasty = net.createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', () => socket.write(http('', '302 Found', { location: 'http://b.test/to/x' })))
})
let front: Front

const type = (name: string): string => `type.googleapis.com/envoy.extensions.internal_redirect.${name}`
const predicate = (name: string, kind: string, more: object = {}): object => ({
  name,
  typed_config: { '@type': type(kind), ...more },
})
const previous = predicate('previous', 'previous_routes.v3.PreviousRoutesConfig')
const allowed = predicate('allowed', 'allow_listed_routes.v3.AllowListedRoutesConfig', { allowed_route_names: ['target'] })
const safe = predicate('safe', 'safe_cross_scheme.v3.SafeCrossSchemeConfig')
const follow = (prefix: string, policy: object, more: object = {}): object => ({
  ...to(prefix, 'app', { internal_redirect_policy: policy, ...more }),
  name: prefix.slice(1),
})

const denySecret = {
  name: 'rbac',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
    rules: {
      action: 'DENY',
      policies: { secret: { permissions: [{ url_path: { path: { prefix: '/to/secret' } } }], principals: [{ any: true }] } },
    },
  },
}

beforeAll(async () => {
  await Promise.all([app.listen(), once(hasty.listen(0, '127.0.0.1'), 'listening')])
  front = await Front.start({
    manager: { normalize_path: true },
    routes: [
      follow('/from/default', {}),
      follow('/from/codes', { redirect_response_codes: [301, 303, 307, 308] }),
      follow('/from/three', { max_internal_redirects: 3 }),
      follow('/from/none', { max_internal_redirects: 0 }),
      follow('/from/previous', { max_internal_redirects: 5, predicates: [previous] }),
      follow('/from/allowed', { predicates: [allowed] }),
      follow('/from/cross', { allow_cross_scheme_redirect: true }),
      follow('/from/safe', { allow_cross_scheme_redirect: true, predicates: [safe] }),
      follow('/from/copy', { response_headers_to_copy: ['x-copied', 'x-gone'] }),
      follow('/from/rewritten', {}, { prefix_rewrite: '/from/inner', host_rewrite_literal: 'inner.test' }),
      follow('/from/retried', {}, { retry_policy: { retry_on: 'retriable-status-codes', retriable_status_codes: [302] } }),
      to('/from/old', 'app', { internal_redirect_action: 'HANDLE_INTERNAL_REDIRECT' }),
      to('/from/off', 'app'),
      to('/from/hasty', 'hasty', { internal_redirect_policy: {} }),
      { match: { prefix: '/to/direct' }, direct_response: { status: 418 } },
      { ...to('/to/', 'app'), name: 'target' },
    ],
    clusters: [staticCluster('app', app.port), staticCluster('hasty', (hasty.address() as AddressInfo).port)],
    filters: [denySecret],
  })
})

afterAll(async () => {
  await stopAll()
  hasty.close()
  await app.close()
})

/** `/from/…` answers with the redirect that the request's x-to and x-code name; anything else tells what came. */
beforeEach(() => {
  app.requests.length = 0
  app.respond = (request, socket) => {
    const location = request.headers.get('x-to')
    if (!request.path.startsWith('/from/') || location === undefined) {
      socket.write(http(`${request.method} ${request.headers.get('host')} ${request.path} ${request.body}`))
      return
    }
    const status = `${request.headers.get('x-code') ?? '302'} Redirect`
    socket.write(http('moved', status, { ...(location === '' ? {} : { location }), 'x-copied': 'from the redirect' }))
  }
})

const ask = (path: string, location: string, { headers, ...more }: Ask = {}) =>
  front.ask(path, { ...more, headers: { 'x-to': location, ...headers } })
const stat = (name: string): Promise<number> => front.proxy.stat(name)
const failed = (why: string): Promise<number> => stat(`http.ingress.passthrough_internal_redirect_${why}`)

describe('internal_redirect_policy', () => {
  it('follows a 302, and tells the upstream the URL before', async () => {
    const before = await stat('cluster.app.upstream_internal_redirect_succeeded_total')
    const rq = await stat('http.ingress.downstream_rq_total')
    const answer = await ask('/from/default?a=1', 'http://b.test:81/to/x?q=2#part')
    expect([answer.status, answer.body]).toEqual([200, 'GET b.test:81 /to/x?q=2 '])
    expect(app.requests[1]!.headers.get('x-envoy-original-url')).toBe('http://test/from/default?a=1')
    expect(app.requests[1]!.headers.get('x-request-id')).toBe(app.requests[0]!.headers.get('x-request-id'))
    expect(await stat('cluster.app.upstream_internal_redirect_succeeded_total')).toBe(before + 1)
    // Each leg is a request of its own.
    expect(await stat('http.ingress.downstream_rq_total')).toBe(rq + 2)
    await front.proxy.untilStat('http.ingress.downstream_rq_active', value => value === 0)
  })

  it('goes on with the next request on the connection', async () => {
    const client = await Http1Client.connect(front.port)
    for (let i = 0; i < 3; i++) {
      const answer = await client.send(`GET /from/default HTTP/1.1\r\nhost: a\r\nx-to: http://b/to/${i}\r\n\r\n`)
      expect(answer.body).toBe(`GET b /to/${i} `)
    }
    client.destroy()
  })

  it('logs each leg', async () => {
    await ask('/from/default?logged', 'http://b.test/to/logged')
    await front.logged('/to/logged', '302 - internal_redirect')
    await front.logged('/to/logged', '200 - via_upstream')
  })

  it('takes the new request past the filters, with its path normalised', async () => {
    expect((await ask('/from/default', 'http://b.test/to/secret')).status).toBe(403)
    expect((await ask('/from/codes', 'http://b.test/to/secret', { method: 'POST', body: 'x', headers: { 'x-code': '308' } })).status).toBe(
      403,
    )
    expect((await ask('/from/default', 'http://b.test/to/x/../secret')).status).toBe(403)
    expect(app.requests).toHaveLength(3)
  })

  it('over HTTP/2', async () => {
    const session = http2.connect(`http://127.0.0.1:${front.port}`)
    const stream = session.request({ ':method': 'POST', ':path': '/from/codes', 'x-to': 'http://b.test/to/x', 'x-code': '307' })
    let body = ''
    stream.setEncoding('utf8').on('data', text => (body += text))
    stream.end('the body')
    await once(stream, 'end')
    expect(body).toBe('POST b.test /to/x the body')
    session.destroy()
  })

  it.each([301, 307, 308])('sends the body again after a %i', async code => {
    const answer = await ask('/from/codes', 'http://b.test/to/x', { method: 'POST', body: 'the body', headers: { 'x-code': `${code}` } })
    expect([answer.status, answer.body]).toEqual([200, 'POST b.test /to/x the body'])
  })

  it('turns a POST into a GET after a 303', async () => {
    const answer = await ask('/from/codes', 'http://b.test/to/x', { method: 'POST', body: 'the body', headers: { 'x-code': '303' } })
    expect([answer.status, answer.body]).toEqual([200, 'GET b.test /to/x '])
    expect(app.requests[1]!.headers.has('content-length')).toBe(false)
    expect(app.requests[1]!.headers.has('transfer-encoding')).toBe(false)
  })

  it('follows only the listed codes', async () => {
    expect((await ask('/from/codes', 'http://b.test/to/x')).status).toBe(302)
    expect((await ask('/from/default', 'http://b.test/to/x', { headers: { 'x-code': '301' } })).status).toBe(301)
    expect((await ask('/from/off', 'http://b.test/to/x')).status).toBe(302)
  })

  it('stops at max_internal_redirects and passes the last redirect on', async () => {
    const before = await failed('too_many_redirects')
    const answer = await ask('/from/three', 'http://b.test/from/three')
    expect([answer.status, answer.headers.get('location'), answer.body]).toEqual([302, 'http://b.test/from/three', 'moved'])
    expect(app.requests).toHaveLength(4)
    expect((await ask('/from/none', 'http://b.test/to/x')).status).toBe(302)
    expect((await ask('/from/default', 'http://b.test/from/default')).status).toBe(302)
    expect(await failed('too_many_redirects')).toBe(before + 3)
  })

  it('previous_routes: not twice from one route to the same', async () => {
    expect((await ask('/from/previous', 'http://b.test/from/previous')).status).toBe(302)
    expect(app.requests).toHaveLength(2)
    expect(await failed('predicate')).toBe(1)
  })

  it('allow_listed_routes', async () => {
    const before = await failed('predicate')
    expect((await ask('/from/allowed', 'http://b.test/to/x')).status).toBe(200)
    expect((await ask('/from/allowed', 'http://b.test/from/off')).status).toBe(302)
    expect(await failed('predicate')).toBe(before + 1)
  })

  it('another scheme only where it is allowed', async () => {
    expect((await ask('/from/default', 'https://b.test/to/x')).status).toBe(302)
    expect(await failed('unsafe_scheme')).toBe(1)
    expect((await ask('/from/cross', 'https://b.test/to/x')).status).toBe(200)
    const before = await failed('predicate')
    expect((await ask('/from/safe', 'https://b.test/to/x')).status).toBe(302)
    expect((await ask('/from/safe', 'http://b.test/to/x')).status).toBe(200)
    expect(await failed('predicate')).toBe(before + 1)
  })

  it.each(['/to/x', '', 'nonsense', 'http://', 'http:///to/x', '//b.test/to/x', 'http://b.test/to x'])('passes on %j', async location => {
    const before = await stat('cluster.app.upstream_internal_redirect_failed_total')
    expect((await ask('/from/default', location)).status).toBe(302)
    expect(app.requests).toHaveLength(1)
    expect(await stat('cluster.app.upstream_internal_redirect_failed_total')).toBe(before + 1)
  })

  it('passes a redirect to no route on, as the upstream sent it', async () => {
    const answer = await ask('/from/default', 'http://b.test/nowhere')
    expect([answer.status, answer.headers.get('location')]).toEqual([302, 'http://b.test/nowhere'])
    expect(await failed('no_route')).toBe(1)
  })

  it('to a route that answers itself', async () => {
    expect((await ask('/from/default', 'http://b.test/to/direct')).status).toBe(418)
  })

  it('without a path: the root', async () => {
    const before = await failed('no_route')
    expect((await ask('/from/default', 'http://b.test')).status).toBe(302)
    expect(await failed('no_route')).toBe(before + 1)
  })

  it('leaves a user name in the location behind', async () => {
    expect((await ask('/from/default', 'http://user:pw@b.test/to/x')).body).toBe('GET b.test /to/x ')
  })

  it('response_headers_to_copy: copies, and clears what the redirect lacks', async () => {
    await ask('/from/copy', 'http://b.test/to/x', { headers: { 'x-copied': 'by the client', 'x-gone': 'soon', 'x-kept': 'yes' } })
    const { headers } = app.requests[1]!
    expect([headers.get('x-copied'), headers.get('x-gone'), headers.get('x-kept')]).toEqual(['from the redirect', undefined, 'yes'])
  })

  it('names the rewritten URL as the original one', async () => {
    const answer = await ask('/from/rewritten/y', 'http://b.test/to/x')
    expect(answer.body).toBe('GET b.test /to/x ')
    expect(app.requests[1]!.headers.get('x-envoy-original-url')).toBe('http://inner.test/from/inner/y')
  })

  it('retries first', async () => {
    const answer = await ask('/from/retried', 'http://b.test/to/x')
    expect([answer.status, app.requests.map(request => request.path)]).toEqual([200, ['/from/retried', '/from/retried', '/to/x']])
  })

  it('the deprecated internal_redirect_action', async () => {
    expect((await ask('/from/old', 'http://b.test/to/x')).status).toBe(200)
  })

  it('passes the redirect of a request that is not complete on', async () => {
    const before = await stat('cluster.hasty.upstream_internal_redirect_failed_total')
    const client = await Http1Client.connect(front.port)
    const answer = client.send('POST /from/hasty HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab')
    expect((await answer).status).toBe(302)
    expect(await stat('cluster.hasty.upstream_internal_redirect_failed_total')).toBe(before + 1)
    client.destroy()
  })
})
