// original_ip_detection_extensions through the real proxy: whose address the access log and the application see, what is appended, and
// who is refused. The real Envoy passes the same tests (OUTRIGGER_BIN).
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Front } from '../support/front-proxy.js'
import { HttpOrigin, http } from '../support/origins.js'
import { fileAccessLog, staticCluster, stopAll, until } from '../support/proxy-process.js'

const TYPE = 'type.googleapis.com/envoy.extensions.http.original_ip_detection.'
const xff = (config: object): object => ({ name: 'xff', typed_config: { '@type': `${TYPE}xff.v3.XffConfig`, ...config } })
const custom = (config: object): object => ({
  name: 'custom',
  typed_config: { '@type': `${TYPE}custom_header.v3.CustomHeaderConfig`, header_name: 'X-Client', ...config },
})
const cidr = (address_prefix: string, prefix_len: number): object => ({ address_prefix, prefix_len })

const origin = new HttpOrigin((request, socket) => void socket.write(http(request.headers.get('x-forwarded-for') ?? 'none')))

beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

async function front(extensions: readonly object[], more: object = {}): Promise<Front> {
  const manager = {
    original_ip_detection_extensions: extensions,
    access_log: [
      fileAccessLog('LOG %REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %RESPONSE_CODE_DETAILS% %REQ(X-ENVOY-INTERNAL)%'),
    ],
    ...more,
  }
  return Front.start({
    routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }],
    clusters: [staticCluster('a', origin.port)],
    manager,
  })
}

let count = 0
/** What the log says of the client, and the x-forwarded-for that the application got. */
async function ask(to: Front, headers: Record<string, string>) {
  const path = `/${count++}`
  const { status, body } = await to.ask(path, { headers })
  const line = new RegExp(`LOG ${path} (\\S+) (\\S+) (\\S+)`)
  const [, client, details, internal] = await until(`the log line of ${path}`, () => line.exec(to.proxy.log))
  return { status, client, details, internal, forwarded: body }
}

it('xff by hops: nothing is appended unless asked for', async () => {
  const quiet = await front([xff({ xff_num_trusted_hops: 1 })])
  expect(await ask(quiet, { 'x-forwarded-for': '1.1.1.1, 2.2.2.2, 3.3.3.3' })).toMatchObject({
    client: '2.2.2.2',
    forwarded: '1.1.1.1, 2.2.2.2, 3.3.3.3',
  })
  expect(await ask(quiet, { 'x-forwarded-for': '3.3.3.3' })).toMatchObject({ client: '127.0.0.1' })
  const appending = await front([xff({ skip_xff_append: false })])
  const { client, forwarded } = await ask(appending, { 'x-forwarded-for': '4.4.4.4' })
  expect(client).toBe('4.4.4.4')
  expect(forwarded).toMatch(/^4\.4\.4\.4,\S+$/)
})

it('xff by trusted proxies: the last address that is none of them', async () => {
  const to = await front([xff({ xff_trusted_cidrs: { cidrs: [cidr('127.0.0.0', 8), cidr('10.0.0.0', 8)] } })])
  expect((await ask(to, { 'x-forwarded-for': '1.1.1.1, 2.2.2.2, 10.0.0.7, 10.0.0.8' })).client).toBe('2.2.2.2')
  expect((await ask(to, { 'x-forwarded-for': '10.0.0.6,10.0.0.7' })).client).toBe('10.0.0.6')
  expect((await ask(to, { 'x-forwarded-for': '1.1.1.1, nonsense, 10.0.0.7' })).client).toBe('127.0.0.1')
  expect((await ask(to, {})).client).toBe('127.0.0.1')
  const stranger = await front([xff({ xff_trusted_cidrs: { cidrs: [cidr('10.0.0.0', 8)] } })])
  expect((await ask(stranger, { 'x-forwarded-for': '1.1.1.1' })).client).toBe('127.0.0.1')
})

it('custom_header: the address it has, trusted where the config says so; else a refusal', async () => {
  const internal = { internal_address_config: { cidr_ranges: [cidr('10.0.0.0', 8)] } }
  const to = await front(
    [custom({ allow_extension_to_set_address_as_trusted: true, reject_with_status: { code: 'Unauthorized' } })],
    internal,
  )
  expect(await ask(to, { 'x-client': '10.1.2.3' })).toMatchObject({ status: 200, client: '10.1.2.3', internal: 'true' })
  expect(await ask(to, { 'x-client': '5.5.5.5' })).toMatchObject({ client: '5.5.5.5', internal: '-' })
  for (const headers of [{}, { 'x-client': 'nonsense' }] as Record<string, string>[])
    expect(await ask(to, headers)).toMatchObject({ status: 401, details: 'rejecting_because_detection_failed' })
  expect(await to.proxy.stat('http.ingress.downstream_rq_rejected_via_ip_detection')).toBe(2)
  const mild = await front([custom({ reject_with_status: { code: 'OK' } })], internal)
  expect(await ask(mild, { 'x-client': '10.1.2.3' })).toMatchObject({ status: 200, internal: '-' })
  expect((await ask(mild, {})).status).toBe(403)
})

it('the first extension that finds an address counts', async () => {
  const to = await front([custom({}), xff({})])
  expect((await ask(to, { 'x-client': '6.6.6.6', 'x-forwarded-for': '7.7.7.7' })).client).toBe('6.6.6.6')
})
