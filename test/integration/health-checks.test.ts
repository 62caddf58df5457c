// Active health checks through the real proxy against real servers: HTTP (what is asked, which answers are good), gRPC, TCP payloads,
// thresholds, and a server that takes itself out.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ProtobufReader } from '../../src/l7/grpc/protobuf-writer.js'
import { endpoint, Front, localities, panicOff, to } from '../support/front-proxy.js'
import { GrpcServices, http2Upstream } from '../support/grpc-services.js'
import { HttpOrigin, http, type OriginRequest, TcpOrigin } from '../support/origins.js'
import { socketAddress, stopAll, until } from '../support/proxy-process.js'

const app = new HttpOrigin()
/** Answers `PING\n` with the line that is set here. */
let pong = 'PONG'
const talker = new TcpOrigin(socket => socket.on('data', chunk => void (chunk.toString() === 'PING\n' && socket.write(`+${pong}\r\n`))))
const services = new GrpcServices()
/** grpc.health.v1 ServingStatus by service name; a call for another one fails with NOT_FOUND. */
const serving = new Map<string, number>()
const asked: { service: string; mark: string }[] = []
let checkAnswer: (request: OriginRequest) => string
let front: Front

const SERVING = 1
const NOT_SERVING = 2
/** Longer than a length of one byte can say. */
const LONG = 's'.repeat(300)

const check = (more: object): object => ({
  timeout: '2s',
  interval: '0.03s',
  no_traffic_interval: '0.03s',
  no_traffic_healthy_interval: '0.03s',
  unhealthy_threshold: 1,
  healthy_threshold: 1,
  ...more,
})
const hex = (text: string): object => ({ text: Buffer.from(text).toString('hex') })
const checked = (name: string, port: number, health: object, more: object = {}): object =>
  localities(name, [{ lb_endpoints: [endpoint(port)] }], { health_checks: [check(health)], ...panicOff, ...more })

function readService(bytes: Uint8Array): { service: string } {
  const reader = new ProtobufReader(Buffer.from(bytes))
  const service = reader.next() === 1 ? reader.text() : ''
  if (reader.next() !== 0 || reader.failed) throw new Error('no HealthCheckRequest')
  return { service }
}

beforeAll(async () => {
  await Promise.all([app.listen(), talker.listen()])
  services.add({
    path: '/grpc.health.v1.Health/Check',
    read: readService,
    write: (status: number) => Uint8Array.of(8, status),
    handle: ({ service }, metadata) => {
      asked.push({ service, mark: metadata.get('x-mark').join() })
      const status = serving.get(service)
      if (status === undefined) throw { code: 5, details: 'unknown service' }
      return status
    },
  })
  await services.listen()
  answers('200 OK')
  for (const service of ['', 'shop', LONG]) serving.set(service, SERVING)
  const http_health_check = { path: '/healthz' }
  front = await Front.start({
    routes: [
      'http',
      'shaped',
      'statuses',
      'retriable',
      'named',
      'threshold',
      'tcp',
      'grpc',
      'grpc-service',
      'grpc-long',
      'hostnames',
      'immediate',
      'body',
    ].map(name => to(`/${name}`, name)),
    clusters: [
      checked('http', app.port, { http_health_check }),
      checked('shaped', app.port, {
        http_health_check: {
          path: '/shaped?full=1',
          host: 'health.test',
          method: 'HEAD',
          request_headers_to_add: [{ header: { key: 'x-check', value: 'yes' } }],
          request_headers_to_remove: ['user-agent'],
        },
      }),
      checked('statuses', app.port, {
        http_health_check: {
          path: '/statuses',
          expected_statuses: [
            { start: 200, end: 201 },
            { start: 418, end: 419 },
          ],
        },
      }),
      checked('retriable', app.port, {
        unhealthy_threshold: 1000,
        http_health_check: { path: '/retriable', retriable_statuses: [{ start: 503, end: 504 }] },
      }),
      checked('named', app.port, { http_health_check: { path: '/named', service_name_matcher: { prefix: 'shop' } } }),
      checked('threshold', app.port, { unhealthy_threshold: 3, healthy_threshold: 4, http_health_check: { path: '/threshold' } }),
      checked('tcp', talker.port, { timeout: '0.5s', tcp_health_check: { send: hex('PING\n'), receive: [hex('+'), hex('PONG')] } }),
      checked('grpc', services.port, { grpc_health_check: {} }, http2Upstream),
      checked(
        'grpc-service',
        services.port,
        {
          grpc_health_check: {
            service_name: 'shop',
            authority: 'health.test',
            initial_metadata: [{ header: { key: 'x-mark', value: 'checker' } }],
          },
        },
        http2Upstream,
      ),
      checked('grpc-long', services.port, { grpc_health_check: { service_name: LONG } }, http2Upstream),
      localities(
        'hostnames',
        [{ lb_endpoints: [{ endpoint: { address: socketAddress(app.port), health_check_config: { hostname: 'own.test' } } }] }],
        {
          health_checks: [check({ http_health_check: { path: '/hostnames', host: 'all.test' } })],
        },
      ),
      checked('body', app.port, {
        http_health_check: {
          path: '/body',
          method: 'POST',
          send: hex('are you?'),
          receive: [hex('I am'), hex('well')],
          response_buffer_size: 16,
        },
      }),
      checked('long-body', app.port, {
        http_health_check: { path: '/long-body', receive: [hex('well')], response_buffer_size: 0 },
      }),
      checked('immediate', app.port, {
        interval: '0.3s',
        no_traffic_interval: '0.3s',
        no_traffic_healthy_interval: '0.3s',
        http_health_check: { path: '/immediate' },
      }),
    ],
  })
})

afterAll(async () => {
  await stopAll()
  services.close()
  await Promise.all([app.close(), talker.close()])
})

beforeEach(() => {
  answers('200 OK')
})

/** What every check gets; every other request a 200. */
function answers(status: string, headers: Readonly<Record<string, string>> = {}): void {
  checkAnswer = () => http('', status, headers)
  app.respond = (request, socket) =>
    void socket.write(
      request.headers.get('user-agent') === 'Envoy/HC' || request.headers.has('x-check') ? checkAnswer(request) : http('ok'),
    )
}

const healthy = (cluster: string, count: 0 | 1): Promise<unknown> =>
  front.proxy.untilStat(`cluster.${cluster}.membership_healthy`, value => value === count)
const checksOf = (path: string): OriginRequest[] => app.requests.filter(request => request.path === path)

describe('HTTP', () => {
  it('a bad answer takes the endpoint out, a good one puts it back', async () => {
    await healthy('http', 1)
    answers('503 Busy')
    await healthy('http', 0)
    const refused = await front.ask('/http')
    expect([refused.status, refused.body]).toEqual([503, 'no healthy upstream'])
    await front.logged('/http', '503 UH no_healthy_upstream')
    answers('200 OK')
    await healthy('http', 1)
    await until('it serves again', async () => (await front.ask('/http')).body === 'ok')
    const stats = await front.proxy.stats()
    for (const counter of ['attempt', 'success', 'failure']) expect(stats.get(`cluster.http.health_check.${counter}`)).toBeGreaterThan(0)
    expect(stats.get('cluster.http.health_check.healthy')).toBe(1)
  })

  it('asks what the check says, as Envoy’s health checker', async () => {
    await healthy('shaped', 1)
    const [shaped] = checksOf('/shaped?full=1')
    expect([shaped!.method, shaped!.headers.get('host'), shaped!.headers.get('x-check')]).toEqual(['HEAD', 'health.test', 'yes'])
    expect(shaped!.headers.has('user-agent')).toBe(false)
    const [plain] = checksOf('/healthz')
    expect([plain!.method, plain!.headers.get('host'), plain!.headers.get('user-agent')]).toEqual(['GET', 'http', 'Envoy/HC'])
  })

  it('expected_statuses: those and no others', async () => {
    answers('418 Teapot')
    await healthy('statuses', 1)
    answers('204 Nothing')
    await healthy('statuses', 0)
  })

  it('retriable_statuses: count towards the threshold, another bad status is the end at once', async () => {
    await healthy('retriable', 1)
    answers('503 Busy')
    const before = await front.proxy.stat('cluster.retriable.health_check.failure')
    await front.proxy.untilStat('cluster.retriable.health_check.failure', value => value >= before + 3)
    await healthy('retriable', 1)
    answers('500 Oops')
    await healthy('retriable', 0)
  })

  it('service_name_matcher: another service at that address is not ours', async () => {
    answers('200 OK', { 'x-envoy-upstream-healthchecked-cluster': 'shop-v2' })
    await healthy('named', 1)
    answers('200 OK', { 'x-envoy-upstream-healthchecked-cluster': 'bank' })
    await healthy('named', 0)
  })

  it('send and receive: a body to ask with, and what its answer has to say, in order and within the bytes that are looked at', async () => {
    const say = (text: string): void => {
      checkAnswer = request => http(request.path === '/body' ? text : '')
    }
    say('I am quite well')
    await healthy('body', 1)
    const [asking] = checksOf('/body')
    expect([asking!.method, asking!.body.toString()]).toEqual(['POST', 'are you?'])
    say('well I am')
    await healthy('body', 0)
    say('yes, I am well.')
    await healthy('body', 1)
    say('I am, thank you, well')
    await healthy('body', 0)
  })

  it('a longer answer than is looked at fails no check', async () => {
    const say = (text: string) => {
      checkAnswer = () => http(text)
    }
    say(`well${'.'.repeat(200_000)}`)
    await healthy('long-body', 1)
    say(`${'.'.repeat(200_000)}well`)
    await healthy('long-body', 0)
  })

  it('x-envoy-immediate-health-check-fail in an ordinary answer: out until the next good check', async () => {
    await healthy('immediate', 1)
    // No check fails before the answer that says so.
    let leaving = false
    app.respond = (request, socket) => {
      if (request.path === '/immediate') socket.write(http('', leaving ? '503 Busy' : '200 OK'))
      else {
        leaving = true
        socket.write(http('leaving', '200 OK', { 'x-envoy-immediate-health-check-fail': '1' }))
      }
    }
    await until('the last answer', async () => (await front.ask('/immediate/last')).body === 'leaving')
    await healthy('immediate', 0)
    answers('200 OK')
    await healthy('immediate', 1)
  })
})

describe('thresholds', () => {
  it('three failures in a row, then four successes in a row', async () => {
    await healthy('threshold', 1)
    answers('500 Oops')
    // An HTTP status that is not expected needs no threshold; a connection that fails does.
    await healthy('threshold', 0)
    const before = await front.proxy.stat('cluster.threshold.health_check.success')
    answers('200 OK')
    await healthy('threshold', 1)
    expect((await front.proxy.stat('cluster.threshold.health_check.success')) - before).toBeGreaterThanOrEqual(4)
    const network = await front.proxy.stat('cluster.threshold.health_check.network_failure')
    app.respond = (_, socket) => void socket.destroy()
    await healthy('threshold', 0)
    expect((await front.proxy.stat('cluster.threshold.health_check.network_failure')) - network).toBeGreaterThanOrEqual(3)
  })
})

describe('TCP', () => {
  it('sends its payload and looks for the pieces of the answer in order', async () => {
    await healthy('tcp', 1)
    pong = 'LOADING'
    // Bytes that do not match leave the check waiting until its timeout.
    await healthy('tcp', 0)
    expect((await front.ask('/tcp')).status).toBe(503)
    pong = 'PONG'
    await healthy('tcp', 1)
  })
})

describe('gRPC', () => {
  it('SERVING is good, NOT_SERVING is not, and back', async () => {
    await healthy('grpc', 1)
    serving.set('', NOT_SERVING)
    await healthy('grpc', 0)
    expect((await front.ask('/grpc')).body).toBe('no healthy upstream')
    serving.set('', SERVING)
    await healthy('grpc', 1)
  })

  it('asks for the service by name, with its metadata', async () => {
    await healthy('grpc-service', 1)
    expect(asked.find(call => call.service === 'shop')?.mark).toBe('checker')
    serving.set('shop', NOT_SERVING)
    await healthy('grpc-service', 0)
    serving.set('shop', SERVING)
    await healthy('grpc-service', 1)
  })

  it('asks for services with long names', async () => {
    await healthy('grpc-long', 1)
    serving.set(LONG, NOT_SERVING)
    await healthy('grpc-long', 0)
  })

  it('an unknown service is unhealthy', async () => {
    serving.delete('shop')
    await healthy('grpc-service', 0)
    serving.set('shop', SERVING)
    await healthy('grpc-service', 1)
  })
})

it("an endpoint's own hostname for health checks comes before the host of the check", async () => {
  await until('a check', () => checksOf('/hostnames').length > 0)
  expect(new Set(checksOf('/hostnames').map(request => request.headers.get('host')))).toEqual(new Set(['own.test']))
})
