// Claims of every JSON type in RBAC: Envoy's ValueMatcher over the payload that jwt_authn leaves in the metadata. The same table is asked
// of the real Envoy where ENVOY_BIN names it; it holds for both.
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  freePort,
  hcm,
  httpRbac,
  listener,
  ProxyProcess,
  proxyBin,
  router,
  routesTo,
  staticCluster,
  stopAll,
  typed,
} from '../support/proxy-process.js'

const claims = {
  iss: 'https://issuer',
  text: 'admin',
  empty: '',
  number: 4,
  half: 0.5,
  yes: true,
  no: false,
  nothing: null,
  list: ['reader', 'admin', 7, true, ['deep']],
  none: [],
  nested: { team: { name: 'core', size: 3 } },
  'dotted.name': 'dots',
}

const text = (value: object): object => ({ string_match: value })
const rows: readonly (readonly [path: string, value: object, allowed: boolean])[] = [
  ['text', text({ exact: 'admin' }), true],
  ['text', text({ exact: 'Admin' }), false],
  ['text', text({ exact: 'ADMIN', ignore_case: true }), true],
  ['text', text({ prefix: 'adm' }), true],
  ['text', text({ contains: 'dmi' }), true],
  ['text', text({ safe_regex: { regex: 'adm.n' } }), true],
  ['text', text({ safe_regex: { regex: 'adm' } }), false],
  ['text', { list_match: { one_of: text({ exact: 'admin' }) } }, false],
  ['text', { double_match: { exact: 4 } }, false],
  ['text', { present_match: true }, true],
  ['empty', text({ exact: '' }), true],
  ['empty', { present_match: true }, true],
  ['number', { double_match: { exact: 4 } }, true],
  ['number', { double_match: { range: { start: 4, end: 5 } } }, true],
  ['number', { double_match: { range: { start: 3, end: 4 } } }, false],
  ['number', text({ exact: '4' }), false],
  ['half', { double_match: { exact: 0.5 } }, true],
  ['yes', { bool_match: true }, true],
  ['yes', { bool_match: false }, false],
  ['yes', text({ exact: 'true' }), false],
  ['no', { bool_match: false }, true],
  ['no', { present_match: true }, true],
  ['nothing', { null_match: {} }, true],
  ['nothing', { present_match: true }, true],
  ['nothing', text({ exact: '' }), false],
  ['missing', { null_match: {} }, false],
  ['missing', { present_match: true }, false],
  ['missing', { present_match: false }, false],
  ['text', { present_match: false }, false],
  ['missing', text({ exact: '' }), false],
  ['missing', { bool_match: false }, false],
  ['list', { list_match: { one_of: text({ exact: 'admin' }) } }, true],
  ['list', { list_match: { one_of: text({ exact: 'writer' }) } }, false],
  ['list', { list_match: { one_of: { double_match: { exact: 7 } } } }, true],
  ['list', { list_match: { one_of: { bool_match: true } } }, true],
  ['list', { list_match: { one_of: { list_match: { one_of: text({ exact: 'deep' }) } } } }, true],
  ['list', { list_match: { one_of: { or_match: { value_matchers: [text({ exact: 'x' }), text({ prefix: 'read' })] } } } }, true],
  ['list', text({ exact: 'admin' }), false],
  ['list', { present_match: true }, true],
  ['list/0', text({ exact: 'reader' }), false],
  ['list/length', { double_match: { exact: 5 } }, false],
  ['none', { list_match: { one_of: { present_match: true } } }, false],
  ['none', { present_match: true }, true],
  ['nested/team/name', text({ exact: 'core' }), true],
  ['nested/team/size', { double_match: { exact: 3 } }, true],
  ['nested/team', { present_match: true }, true],
  ['nested/team', text({ contains: 'core' }), false],
  ['nested/none/name', { present_match: false }, false],
  ['dotted.name', text({ exact: 'dots' }), true],
  ['dotted/name', { present_match: true }, false],
  ['number', { or_match: { value_matchers: [{ bool_match: true }, { double_match: { exact: 4 } }] } }, true],
  ['constructor', { present_match: true }, false],
]

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
let token = ''
let jwks = ''
beforeAll(async () => {
  await origin.listen()
  const pair = await generateKeyPair('ES256', { extractable: true })
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }] })
  token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'k' }).setExpirationTime('1h').sign(pair.privateKey)
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

describe.each([
  ['Outrigger', proxyBin],
  ['the real Envoy', process.env['ENVOY_BIN']],
])('%s', (_name, bin) => {
  it.skipIf(bin === undefined)('matches claims by their type', async () => {
    const port = await freePort()
    const policy = ([path, value]: (typeof rows)[number], i: number): [string, object] => [
      `policy-${i}`,
      {
        permissions: [{ url_path: { path: { exact: `/${i}` } } }],
        principals: [
          {
            metadata: {
              filter: 'envoy.filters.http.jwt_authn',
              path: ['payload', ...path.split('/')].map(key => ({ key })),
              value,
            },
          },
        ],
      },
    ]
    const authn = typed('envoy.filters.http.jwt_authn', 'filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: { p: { issuer: 'https://issuer', payload_in_metadata: 'payload', local_jwks: { inline_string: jwks } } },
      rules: [{ match: { prefix: '/' }, requires: { provider_name: 'p' } }],
    })
    const rbac = httpRbac({ action: 'ALLOW', policies: Object.fromEntries(rows.map(policy)) })
    await ProxyProcess.start({
      bin: bin!,
      bootstrap: {
        static_resources: {
          listeners: [listener('l', port, [hcm({ route_config: routesTo('app') }, [authn, rbac, router])])],
          clusters: [staticCluster('app', origin.port)],
        },
      },
      ...(bin === proxyBin ? {} : { flags: ['--base-id', String((process.pid % 30_000) + 30_002)] }),
    })
    const client = await Http1Client.connect(port)
    const seen = []
    for (const [i, [path, value]] of rows.entries()) {
      const { status } = await client.get(`/${i}`, { authorization: `Bearer ${token}` })
      seen.push([path, value, status === 200 ? true : status === 403 ? false : status])
    }
    client.destroy()
    expect(seen).toEqual(rows)
  })
})
