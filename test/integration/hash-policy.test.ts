// Hash policies through the real proxy on a ring of three: header (with a rewrite), cookie (found, made, path and attributes), query
// parameter, source address, terminal, no key at all, and weighted clusters that stick by hash.
import net from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, endpoint, Front, Lettered, localities, to } from '../support/front-proxy.js'
import { http } from '../support/origins.js'
import { staticCluster, stopAll } from '../support/proxy-process.js'

const apps = new Lettered(3)
let front: Front

const ring = (prefix: string, ...hash_policy: object[]): object => to(prefix, 'ring', { hash_policy })
const header = (name: string, more: object = {}, policy: object = {}): object => ({ header: { header_name: name, ...more }, ...policy })
const users = Array.from({ length: 24 }, (_unused, i) => `user-${i}`)

beforeAll(async () => {
  await apps.listen()
  const stuck = [
    { name: 'a', weight: 50 },
    { name: 'b', weight: 50 },
  ]
  front = await Front.start({
    routes: [
      ring('/header', header('x-user')),
      ring('/rewrite', header('x-user', { regex_rewrite: { pattern: { regex: '^([a-z]+)-.*$' }, substitution: '\\1' } })),
      ring('/cookie/found', { cookie: { name: 'sid' } }),
      ring('/cookie/session', { cookie: { name: 'sid', ttl: '0s' } }),
      ring('/cookie/ttl', {
        cookie: {
          name: 'sid',
          ttl: '60s',
          path: '/cookie',
          attributes: [{ name: 'Secure' }, { name: 'SameSite', value: 'Strict' }],
        },
      }),
      ring('/query', { query_parameter: { name: 'u' } }),
      ring('/source', { connection_properties: { source_ip: true } }),
      ring('/terminal', header('x-user', {}, { terminal: true }), header('x-other')),
      ring('/combined', header('x-user'), header('x-other')),
      ring('/state', { filter_state: { key: 'nobody.sets.this' } }),
      {
        match: { prefix: '/stuck' },
        route: { hash_policy: [header('x-user')], weighted_clusters: { use_hash_policy: true, clusters: stuck } },
      },
    ],
    clusters: [
      localities('ring', [{ lb_endpoints: apps.ports.map(port => endpoint(port)) }], {
        lb_policy: 'RING_HASH',
        ring_hash_lb_config: { minimum_ring_size: 1024 },
      }),
      staticCluster('a', apps.ports[0]!),
      staticCluster('b', apps.ports[1]!),
    ],
  })
})

afterAll(async () => {
  await stopAll()
  await apps.close()
})

beforeEach(() => apps.reset())

/** The one endpoint that served all of them. */
async function only(path: string, ask?: Ask, times = 4): Promise<string> {
  const found = Object.keys(await front.answers(path, times, ask))
  expect(found).toHaveLength(1)
  return found[0]!
}

const spread = async (askOf: (user: string) => [string, Ask]): Promise<Map<string, string>> => {
  const places = new Map<string, string>()
  for (const user of users) {
    const [path, ask] = askOf(user)
    places.set(user, await only(path, ask, 2))
  }
  return places
}
const used = (places: ReadonlyMap<string, string>): string[] => [...new Set(places.values())].sort()
/** Without a key the endpoint is drawn at random. */
const anywhere = async (path: string, ask?: Ask): Promise<void> =>
  expect(Object.keys(await front.answers(path, 40, ask)).length).toBeGreaterThan(1)

describe('a key decides, and many keys use every endpoint', () => {
  it.each<[string, (user: string) => [string, Ask]]>([
    ['header', user => ['/header', { headers: { 'x-user': user } }]],
    ['cookie', user => ['/cookie/found', { headers: { cookie: `theme=dark; sid=${user}; x=1` } }]],
    ['query parameter', user => [`/query?a=1&u=${user}`, {}]],
    ['weighted clusters by hash', user => ['/stuck', { headers: { 'x-user': user } }]],
  ])('%s', async (kind, askOf) => {
    const places = await spread(askOf)
    expect(used(places)).toEqual(kind === 'weighted clusters by hash' ? ['a', 'b'] : ['a', 'b', 'c'])
  })

  it('source address, whatever the port', async () => {
    const seen = new Set<string>()
    for (let i = 2; i < 26; i++) {
      const address = `127.0.0.${i}`
      const answers = await Promise.all([fromAddress(address), fromAddress(address)])
      expect(answers[0]).toBe(answers[1])
      seen.add(answers[0]!)
    }
    expect([...seen].sort()).toEqual(['a', 'b', 'c'])
  })

  it('equal keys land on the same endpoint whatever they came from', async () => {
    for (const user of users.slice(0, 6)) {
      const byHeader = await only('/header', { headers: { 'x-user': user } }, 1)
      expect(await only(`/query?u=${user}`, {}, 1)).toBe(byHeader)
      expect(await only('/cookie/found', { headers: { cookie: `sid=${user}` } }, 1)).toBe(byHeader)
    }
  })
})

describe('a header’s rewrite', () => {
  it('makes one key of what it makes equal', async () => {
    const places = await spread(user => ['/rewrite', { headers: { 'x-user': user } }])
    expect(used(places)).toHaveLength(1)
    const others = await spread(user => ['/rewrite', { headers: { 'x-user': `${user.slice(5)}${user}` } }])
    expect(used(others).length).toBeGreaterThan(1)
  })
})

describe('a cookie', () => {
  it('without a ttl is not made: no key', async () => {
    expect((await front.ask('/cookie/found')).headers.get('set-cookie')).toBe(undefined)
    await anywhere('/cookie/found')
  })

  it.each([
    ['/cookie/session', /^sid="[0-9a-f]{16}"; HttpOnly$/],
    ['/cookie/ttl', /^sid="[0-9a-f]{16}"; Max-Age=60; Path=\/cookie; Secure; SameSite=Strict; HttpOnly$/],
  ])('%s: made once, leads back to its endpoint, and is not made again', async (path, form) => {
    for (let i = 0; i < 8; i++) {
      const first = await front.ask(path)
      const made = first.headers.get('set-cookie')!
      expect(made).toMatch(form)
      const ask = { headers: { cookie: made.split(';')[0]! } }
      expect(await only(path, ask, 2)).toBe(first.body)
      expect((await front.ask(path, ask)).headers.get('set-cookie')).toBe(undefined)
    }
  })

  it('stands beside the application’s own', async () => {
    for (const origin of apps.origins) origin.respond = (_, socket) => void socket.write(http('', '200 OK', { 'set-cookie': 'own=1' }))
    const cookies = (await front.ask('/cookie/session')).headers.get('set-cookie')!
    expect(cookies).toContain('own=1')
    expect(cookies).toContain('sid="')
  })
})

describe('several policies', () => {
  it('terminal: the first one that has a key ends it', async () => {
    for (const user of users.slice(0, 6)) {
      const alone = await only('/terminal', { headers: { 'x-user': user } }, 1)
      for (const other of users) expect(await only('/terminal', { headers: { 'x-user': user, 'x-other': other } }, 1)).toBe(alone)
    }
  })

  it('terminal without its key leaves it to the next', async () => {
    const places = await spread(user => ['/terminal', { headers: { 'x-other': user } }])
    expect(used(places)).toEqual(['a', 'b', 'c'])
  })

  it('without terminal all keys count', async () => {
    const places = await spread(user => ['/combined', { headers: { 'x-user': 'one', 'x-other': user } }])
    expect(used(places)).toEqual(['a', 'b', 'c'])
  })
})

it.each(['/header', '/query', '/query?v=1', '/state'])('%s without its key: anywhere', async path => {
  await anywhere(path)
})

function fromAddress(localAddress: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port: front.port, host: '127.0.0.1', localAddress })
    let text = ''
    socket.on('connect', () => socket.write('GET /source HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n'))
    socket.on('data', chunk => (text += chunk))
    socket.on('close', () => resolve(text.slice(text.indexOf('\r\n\r\n') + 4)))
    socket.on('error', reject)
  })
}
