// The names of all stats after the same traffic, here and in the real Envoy, from a small and a rich bootstrap: `/stats` by name,
// Prometheus by name, labels and type. What remains different stands in REMAINING with its reason. Where there is no Envoy (ENVOY_BIN),
// the names of the small bootstrap are compared with those that Envoy 1.40 once gave.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProxyProcess, stopAll } from '../support/proxy-process.js'
import { echo, origin, richWorld, smallWorld, type World } from '../support/stat-worlds.js'

const envoyBin = process.env['ENVOY_BIN']

/** Names that only one of the two has. */
const REMAINING: readonly (readonly [name: RegExp, reason: string])[] = [
  [/http2[._](nghttp2|oghttp2)_(down|up)stream_connections/, "which of Envoy's two HTTP/2 libraries serves a connection; ours is neither"],
  [/server_?\.?connection_exceptions/, 'connections that an error of our own has ended: ours alone'],
  [/server_?\.?own_certificates_ending/, 'our own certificates near their end: ours alone'],
  [/[._]ssl[._](curves|sigalgs)\b/, 'Node tells a server neither the curve nor the signature algorithm of TLS 1.3'],
  [/[._]ssl[._]ciphers\b/, "which cipher is taken: OpenSSL's and BoringSSL's preferences differ"],
]

beforeAll(async () => {
  await origin.listen()
  await echo.listen()
})

afterAll(async () => {
  await stopAll()
  await origin.close()
  await echo.close()
})

interface Exposition {
  readonly names: readonly string[]
  /** Samples without their values, and the TYPE lines. */
  readonly prometheus: readonly string[]
}

async function exposition(make: () => Promise<World>, bin?: string): Promise<Exposition> {
  const world = await make()
  const own = bin === undefined ? {} : { bin, flags: ['--use-dynamic-base-id', '--concurrency', '1'] }
  const proxy = await ProxyProcess.start({ bootstrap: world.bootstrap, ...own })
  await world.traffic()
  const portless = (text: string): string =>
    [...world.ports].reduce((rest, [name, port]) => rest.replaceAll(`127.0.0.1_${port}`, `<${name}>`), text)
  const text = portless((await proxy.get('/stats')).body)
  const prometheus = portless((await proxy.get('/stats/prometheus')).body)
  await proxy.kill()
  const lines = (all: string): string[] => all.split('\n').filter(line => line !== '')
  return {
    names: lines(text).map(line => line.slice(0, line.indexOf(': '))),
    prometheus: lines(prometheus).map(line => (line.startsWith('#') ? line : line.slice(0, line.lastIndexOf(' ')))),
  }
}

/** What is in one list alone and has no reason. */
function differences(envoy: readonly string[], ours: readonly string[]): string[] {
  const there = new Set(envoy)
  const here = new Set(ours)
  const unexplained = (name: string): boolean => !REMAINING.some(([pattern]) => pattern.test(name.replace(/^# TYPE /, '')))
  return [
    ...envoy.filter(name => !here.has(name) && unexplained(name)).map(name => `missing ${name}`),
    ...ours.filter(name => !there.has(name) && unexplained(name)).map(name => `extra ${name}`),
  ]
}

it('the stats of a small bootstrap have the names that Envoy 1.40 gave them', async () => {
  const recorded = readFileSync(new URL('../support/envoy-stat-names.txt', import.meta.url), 'utf8')
    .trim()
    .split('\n')
  expect(differences(recorded, (await exposition(smallWorld)).names)).toEqual([])
})

describe.skipIf(envoyBin === undefined)('beside the real Envoy', () => {
  it.each([
    ['small', smallWorld],
    ['rich', richWorld],
  ] as const)('the stats from a %s bootstrap have the same names, labels and types', { timeout: 120_000 }, async (_name, make) => {
    const envoy = await exposition(make, envoyBin)
    const ours = await exposition(make)
    expect(differences(envoy.names, ours.names)).toEqual([])
    expect(differences(envoy.prometheus, ours.prometheus)).toEqual([])
  })
})
