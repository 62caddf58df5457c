// About ten thousand attacks for the real Envoy and for Outrigger: both must refuse, or both must forward the same. The corpora are in
// test/support/attack-*.ts; what is meant to differ is in attack-differences.ts with its reason. Needs ENVOY_BIN; skipped by name elsewhere.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerCorpus } from '../support/attack-answers.js'
import { compare, DELIBERATE, type Kind, RACES } from '../support/attack-differences.js'
import { attackHttp2, http2Corpus } from '../support/attack-http2.js'
import { Lane, type Outcome } from '../support/attack-lane.js'
import { RecordingOrigin } from '../support/attack-origin.js'
import { DENIALS, HTTP2_MANAGERS, MANAGERS, type PathCase, pathCorpus, pathRoutes } from '../support/attack-paths.js'
import { http1Corpus } from '../support/attack-requests.js'
import { freePort, hcm, httpRbac, listener, ProxyProcess, router, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const PLAIN_LANES = 6
/** A difference by chance (a probe that overtook a connection) does not come twice more. */
const ATTEMPTS = 3

/** Both close at once what they close, and treat a malformed HTTP/2 message as the stream's affair. */
const COMMON = { delayed_close_timeout: '0s', http2_protocol_options: { override_stream_error_on_invalid_http_message: true } }

interface Side {
  readonly proxy: ProxyProcess
  readonly plain: readonly Lane[]
  readonly managed: ReadonlyMap<string, Lane>
}

const origins: RecordingOrigin[] = []
let ours: Side
let envoys: Side

async function startSide(bin: string | undefined): Promise<Side> {
  const listeners: object[] = []
  const clusters: object[] = []
  const lane = async (name: string, manager: object): Promise<Lane> => {
    const origin = await RecordingOrigin.start()
    origins.push(origin)
    const port = await freePort()
    listeners.push(listener(name, port, [manager]))
    clusters.push(staticCluster(name, origin.port))
    return new Lane(origin, port)
  }
  const plain: Lane[] = []
  for (let i = 0; i < PLAIN_LANES; i++) plain.push(await lane(`plain${i}`, hcm({ ...COMMON, route_config: routesTo(`plain${i}`) })))
  const managed = new Map<string, Lane>()
  for (const [name, config] of Object.entries(MANAGERS)) {
    const manager = hcm({ ...COMMON, ...config, route_config: pathRoutes(name) }, [httpRbac(DENIALS), router])
    managed.set(name, await lane(name, manager))
  }
  const bootstrap = { static_resources: { listeners, clusters } }
  return { proxy: await ProxyProcess.start({ bootstrap, ...(bin === undefined ? {} : { bin }) }), plain, managed }
}

interface Difference {
  readonly id: string
  readonly kind: Kind
  readonly ours: Outcome
  readonly envoys: Outcome
}

/** `lanes` work through the cases side by side: a case goes to the lane of both proxies that is free next. */
async function differences<T extends { readonly id: string }>(
  cases: readonly T[],
  lanes: readonly (readonly [Lane, Lane])[],
  attack: (lane: Lane, one: T) => Promise<Outcome>,
): Promise<Difference[]> {
  const found: Difference[] = []
  let next = 0
  await Promise.all(
    lanes.map(async ([our, their]) => {
      while (next < cases.length) {
        const one = cases[next++]!
        let difference: Difference | null = null
        for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
          const [a, b] = await Promise.all([attack(our, one), attack(their, one)])
          const kind = RACES.test(one.id) ? null : compare(one.id, a, b)
          difference = kind === null ? null : { id: one.id, kind, ours: a, envoys: b }
          if (difference === null || reasonFor(difference) !== undefined) break
        }
        if (difference !== null) found.push(difference)
      }
    }),
  )
  return found
}

const used = new Set<number>()

function reasonFor({ id, kind }: Difference): string | undefined {
  const at = DELIBERATE.findIndex(deliberate => deliberate.kind === kind && deliberate.cases.test(id))
  used.add(at)
  return DELIBERATE[at]?.reason
}

function unexplained(found: readonly Difference[]): Difference[] {
  return found.filter(difference => reasonFor(difference) === undefined)
}

const plainLanes = (): (readonly [Lane, Lane])[] => ours.plain.map((lane, i) => [lane, envoys.plain[i]!] as const)

describe.skipIf(envoyBin === undefined)('attacks against Envoy and Outrigger', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    ;[ours, envoys] = await Promise.all([startSide(undefined), startSide(envoyBin)])
  })
  afterAll(async () => {
    for (const side of [ours, envoys]) for (const lane of [...side.plain, ...side.managed.values()]) lane.stop()
    for (const origin of origins) origin.stop()
    await stopAll()
  })

  it('HTTP/1 requests', async () => {
    const found = await differences(http1Corpus(), plainLanes(), (lane, one) => lane.attack(one.parts))
    expect(unexplained(found)).toEqual([])
  })

  it('answers of a hostile origin', async () => {
    const found = await differences(answerCorpus(), plainLanes(), (lane, one) => lane.respond(one.request, one.answer, one.close))
    expect(unexplained(found)).toEqual([])
  })

  it('HTTP/2 frames', async () => {
    const found = await differences(http2Corpus(), plainLanes(), attackHttp2)
    expect(unexplained(found)).toEqual([])
  })

  it('paths, hosts and trust headers that should slip past a rule', async () => {
    const attack = (lane: Lane, one: PathCase): Promise<Outcome> =>
      'http1' in one ? lane.attack(one.http1.parts) : attackHttp2(lane, one.http2)
    const found = await Promise.all(
      Object.keys(MANAGERS).map(name =>
        differences(pathCorpus(HTTP2_MANAGERS.has(name)), [[ours.managed.get(name)!, envoys.managed.get(name)!]], attack),
      ),
    )
    expect(unexplained(found.flat())).toEqual([])
  })

  it('every deliberate difference is still one', () => {
    expect(DELIBERATE.filter((_unused, i) => !used.has(i)).map(deliberate => String(deliberate.cases))).toEqual([])
  })

  it('both proxies still serve', async () => {
    for (const { proxy } of [ours, envoys]) expect((await proxy.get('/ready')).status).toBe(200)
  })
})
