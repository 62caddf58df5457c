import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { controlOptions } from '../../src/cli/commands/control-options.js'
import { runOutrigger } from '../../src/cli/outrigger-main.js'
import { ControlPlane } from '../../src/control/control-plane.js'
import { testIo } from '../support/command-io.js'

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const io = testIo(env)
  const code = await runOutrigger(argv, io)
  return { code, ...io.text }
}

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('bad command lines end in one line and exit code 1', () => {
  it.each([
    [['aply'], "outrigger: unknown command 'aply'\n(Did you mean apply?)\n"],
    [['apply'], 'outrigger: name a file: -f FILE, or - for standard input\n'],
    [['intention', 'allow', 'web'], "outrigger: missing required argument 'destination'\n"],
    [['proxies', 'web'], "outrigger: too many arguments for 'proxies'. Expected 0 arguments but got 1.\n"],
    [
      ['control', '-c', '/nowhere/mesh.yaml', '--http-addr', '127.0.0.1:0', '--grpc-addr', '127.0.0.1:0', '--log-level', 'silent'],
      'outrigger: /nowhere/mesh.yaml: no such file\n',
    ],
    [['proxies', '--nonsense'], "outrigger: unknown option '--nonsense'\n"],
    [['bootstrap'], "outrigger: required option '--proxy-id <id>' not specified\n"],
    [['apply', '-f', '/nowhere/x.yaml'], 'outrigger: /nowhere/x.yaml: no such file\n'],
    [
      ['proxies', '--http-addr', 'not an address'],
      'outrigger: control plane address "not an address": must be host:port, http(s)://host:port or unix:///path\n',
    ],
    [
      ['proxies', '--http-addr', '127.0.0.1:1'],
      'outrigger: cannot reach the control plane at http://127.0.0.1:1: connection refused (--http-addr or CONSUL_HTTP_ADDR says where it is)\n',
    ],
    [['control', '--grpc-tls-cert', 'x.pem'], 'outrigger: --grpc-tls-cert and --grpc-tls-key go together\n'],
    [['control', '--log-level', 'loud'], expect.stringMatching(/^outrigger: --log-level "loud": must be one of/)],
    [['control', '--sidecar-min-port', '70000'], 'outrigger: --sidecar-min-port "70000": must be a port, 1 to 65535\n'],
    [
      ['control', '--grpc-addr', '0.0.0.0:0', '--http-addr', '127.0.0.1:0', '--log-level', 'silent'],
      expect.stringMatching(
        /^outrigger: --grpc-addr 0\.0\.0\.0:0: not a loopback address: it needs --acl \(or a token\) and TLS .*--allow-open/,
      ),
    ],
  ])('%j', async (argv, err) => {
    expect(await run(argv)).toEqual({ code: 1, out: '', err })
  })

  it('says what help and version say with exit code 0', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('run the control plane'), err: '' })
    expect(await run(['--version'])).toEqual({ code: 0, out: '0.1.0\n', err: '' })
  })

  it('names the field of a mesh file that is wrong', async () => {
    const mesh = file('bad-mesh.yaml', 'services:\n  - Nme: web\n')
    const { code, err } = await run([
      'control',
      '-c',
      mesh,
      '--http-addr',
      '127.0.0.1:0',
      '--grpc-addr',
      '127.0.0.1:0',
      '--log-level',
      'silent',
    ])
    expect([code, err]).toEqual([1, expect.stringMatching(/^outrigger: .*bad-mesh\.yaml: .*services\[0\]\.Nme: unknown field/)])
  })
})

describe('control options', () => {
  it('takes secrets from files and the environment', () => {
    const key = file('ca.key', 'an encryption key of some length\n')
    const options = controlOptions(
      { caKeyFile: key, config: 'mesh.yaml' },
      testIo({ OUTRIGGER_HTTP_TOKEN: 'h', OUTRIGGER_GRPC_TOKEN: 'g' }),
    )
    expect(options).toEqual({
      dns: {
        address: { host: '127.0.0.1', port: 8600 },
        isDefault: true,
        recursors: [],
        onlyPassing: false,
        nodeTtlSeconds: 0,
        serviceTtlSeconds: new Map(),
      },
      meshFile: 'mesh.yaml',
      encryptionKey: 'an encryption key of some length',
      httpToken: 'h',
      grpcToken: 'g',
      sidecarChecks: true,
      consoleFolder: expect.stringMatching(/dist[/\\]console$/),
      version: '0.1.0',
    })
    expect(controlOptions({ ui: false }, testIo({})).consoleFolder).toBeUndefined()
  })

  it("reads the CA's configuration, and names what is wrong in it", () => {
    const good = file('ca.yaml', 'Provider: consul\nConfig: { LeafCertTTL: 24h }\n')
    expect(controlOptions({ caConfig: good }, testIo({})).ca?.leafCertTtlMs).toBe(24 * 3_600_000)
    const bad = file('bad-ca.yaml', 'Provider: acm-pca\n')
    expect(() => controlOptions({ caConfig: bad }, testIo({}))).toThrow(/bad-ca\.yaml: Provider: "acm-pca" is not offered here/)
  })
})

describe('against a control plane', () => {
  let plane: ControlPlane
  beforeEach(async () => {
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'node-1', httpToken: 'secret' })
    await plane.start()
  })
  afterEach(() => plane.stop())

  const call = (...argv: string[]) => run(argv, { CONSUL_HTTP_ADDR: plane.httpAddress, CONSUL_HTTP_TOKEN: 'secret' })
  const services = () =>
    file(
      'services.json',
      JSON.stringify({
        services: [
          {
            name: 'web',
            port: 9001,
            connect: { sidecar_service: { proxy: { upstreams: [{ destination_name: 'api', local_bind_port: 9191 }] } } },
          },
          { ID: 'api-v1', Name: 'api', Port: 9002, Meta: { version: 'v1' }, Connect: { SidecarService: {} } },
        ],
      }),
    )

  it('registers services and prints the bootstrap of a sidecar', async () => {
    expect(await call('register', '-f', services())).toEqual({ code: 0, out: 'registered web\nregistered api-v1\n', err: '' })
    const { code, out } = await call('bootstrap', '--proxy-id', 'web-sidecar-proxy', '--admin-bind', '127.0.0.1:19555')
    const bootstrap = JSON.parse(out)
    expect(code).toBe(0)
    expect(bootstrap.node).toMatchObject({ id: 'web-sidecar-proxy', cluster: 'web' })
    expect(bootstrap.admin.address.socket_address).toEqual({ address: '127.0.0.1', port_value: 19_555 })
    expect(await call('bootstrap', '--proxy-id', 'nobody')).toEqual({ code: 1, out: '', err: 'outrigger: unknown proxy ID: nobody\n' })
    expect((await call('proxies')).out).toMatch(/^PROXY .*\nweb-sidecar-proxy +web +no +no +- +- +-\n/)
  })

  it('applies entries as one change: in whatever order they stand, and none where one is refused, by its place', async () => {
    const entries = `Kind: service-splitter
Name: api
Splits: [{ Weight: 90, ServiceSubset: v1 }, { Weight: 10, ServiceSubset: v2 }]
---
- Kind: service-resolver
  Name: api
  Subsets: { v1: { Filter: Service.Meta.version == v1 }, v2: { Filter: Service.Meta.version == v2 } }
- { kind: service-defaults, name: api, protocol: http }
- { kind: proxy-defaults, name: global, config: { handshake_timeout_ms: 1 } }
`
    const bad = file('bad.yaml', `${entries}- { kind: service-defaults, name: web, bogus: 1 }\n`)
    expect(await call('apply', '-f', bad)).toEqual({
      code: 1,
      out: '',
      err: `outrigger: ${bad}: document 2: [3]: service-defaults/web: bogus: unknown field\n`,
    })
    const splitter = (): Promise<Response> => fetch(`http://${plane.httpAddress}/v1/config/service-splitter/api?token=secret`)
    expect((await splitter()).status).toBe(404)
    const good = file('good.yaml', entries)
    expect(await call('apply', '-f', good)).toEqual({
      code: 0,
      out: 'applied service-splitter/api\napplied service-resolver/api\napplied service-defaults/api\napplied proxy-defaults/global\n',
      err: `warning: ${good}: document 2: [2]: proxy-defaults/global: Config.handshake_timeout_ms: has no effect: is of the proxy that Consul once had built in\n`,
    })
    expect(await (await splitter()).json()).toMatchObject({ Splits: [{ Weight: 90 }, { Weight: 10 }] })
  })

  it.each([
    ['', 'is empty'],
    ['a: [', 'not YAML or JSON:'],
    ['- 1', '[0]: must be an object'],
    ['Name: api', 'Kind: missing'],
  ])('refuses to apply %j', async (text, reason) => {
    const { code, err } = await call('apply', '-f', file('odd.yaml', text))
    expect(code).toBe(1)
    expect(err).toContain(reason)
    expect(err.trimEnd().split('\n')).toHaveLength(1)
  })

  it('takes JSON that is indented with tabs', async () => {
    const path = file('tabs.json', '{\n\t"Kind": "service-defaults",\n\t"Name": "web",\n\t"Protocol": "http"\n}')
    expect(await call('apply', '-f', path)).toEqual({ code: 0, out: 'applied service-defaults/web\n', err: '' })
  })

  it('explains a decision and lists the intentions in effect', async () => {
    await call('register', '-f', services())
    const path = file(
      'intentions.yaml',
      `- { Kind: service-defaults, Name: api, Protocol: http }
- { Kind: service-intentions, Name: api, Sources: [{ Name: web, Permissions: [{ Action: allow, HTTP: { PathPrefix: /v1, Methods: [GET] } }] }] }
- { Kind: service-intentions, Name: '*', Sources: [{ Name: web, Action: deny }, { Name: ops, Action: allow }] }
`,
    )
    expect((await call('apply', '-f', path)).code).toBe(0)
    const allowed = await call('explain', '--from', 'web', '--to', 'api', '--method', 'get', '--path', '/v1/x')
    expect(allowed.out).toMatch(
      /^allowed: web -> api GET \/v1\/x \(http\)\nreason: intention web -> api \(precedence 9\) allows by permission 1/,
    )
    const denied = await call('explain', '--from', 'batch', '--to', 'api')
    expect(denied.out).toMatch(/^denied: batch -> api \(http\)\nreason: no intention matched batch -> api; the default is deny\n/)
    expect(denied.err).toBe('warning: service "batch" is not registered\n')
    expect(denied.out).toMatch(/=> +- +default policy +deny +yes\n$/)
    expect([allowed.code, denied.code]).toEqual([0, 0])
    expect(await call('explain', '--from', 'batch', '--to', 'api', '--exit-code')).toEqual({ ...denied, code: 2 })
    const asJson = await call('explain', '--from', 'batch', '--to', 'api', '--exit-code', '--json')
    expect([asJson.code, JSON.parse(asJson.out).allowed, asJson.err]).toEqual([2, false, ''])
    const passing = ['explain', '--from', 'web', '--to', 'api', '--method', 'get', '--path', '/v1/x', '--exit-code']
    expect(await call(...passing)).toEqual(allowed)
    const { out } = await call('intention', 'list', '--effective')
    // web -> * is shadowed by web -> api for api, and in effect for web.
    expect(out.split('\n').map(line => line.split(/ {2,}/))).toEqual([
      ['DESTINATION', 'SOURCE', 'ACTION', 'PRECEDENCE'],
      ['api', 'web', 'permissions', '9'],
      ['api', 'ops', 'allow', '6'],
      ['api', '(any other)', 'deny', 'default'],
      ['web', 'ops', 'allow', '6'],
      ['web', 'web', 'deny', '6'],
      ['web', '(any other)', 'deny', 'default'],
      [''],
    ])
    expect((await call('intention', 'list')).out).toMatch(/web +1 permission +api +9\n/)
  })

  it('writes and deletes intentions by name', async () => {
    await call(
      'register',
      file(
        'pair.json',
        JSON.stringify({
          services: [
            { Name: 'web', Port: 1 },
            { Name: 'api', Port: 2 },
          ],
        }),
      ),
    )
    const decision = async (): Promise<string> => (await call('explain', '--from', 'web', '--to', 'api')).out.split(':')[0]!
    expect(await call('intention', 'allow', 'web', 'api')).toEqual({ code: 0, out: 'allow: web -> api\n', err: '' })
    expect(await decision()).toBe('allowed')
    expect((await call('intention', 'deny', 'web', 'api')).code).toBe(0)
    expect(await decision()).toBe('denied')
    expect(await call('intention', 'delete', 'web', 'api')).toEqual({ code: 0, out: 'Intention deleted.\n', err: '' })
    expect(await call('intention', 'delete', 'web', 'api')).toEqual({ code: 1, out: '', err: 'outrigger: Intention not found\n' })
  })

  it('rotates leaves and roots, and shows the roots', async () => {
    await call('register', '-f', services())
    const leaf = async () =>
      (await fetch(`http://${plane.httpAddress}/v1/agent/connect/ca/leaf/api?token=secret`)).json() as Promise<{ SerialNumber: string }>
    const before = await leaf()
    const rotated = await call('ca', 'rotate-leaf', '--service', 'api')
    const after = await leaf()
    expect(after.SerialNumber).not.toBe(before.SerialNumber)
    expect(rotated.out).toContain(`serial ${after.SerialNumber}`)
    expect(rotated.out).toContain(`(before: ${before.SerialNumber})`)
    expect(await call('ca', 'rotate-leaf', '--service', 'nope')).toMatchObject({
      code: 1,
      err: 'outrigger: service "nope" has no sidecar\n',
    })
    expect((await call('ca', 'rotate-root')).out).toMatch(/^active root: (\S+) \(before: (?!\1)\S+\)\n$/)
    expect((await call('ca', 'roots')).out).toMatch(/^trust domain: \S+\.consul\nID .*\n.* yes\n.* no\n$/)
    expect((await call('ca', 'roots', '--pem')).out.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  it('says so when the token is wrong, and stops at the first refusal for it', async () => {
    const path = file(
      'two.yaml',
      '- { Kind: service-defaults, Name: a, Protocol: http }\n- { Kind: service-defaults, Name: b, Protocol: http }\n',
    )
    const wrong = await run(['apply', '-f', path, '--token', 'wrong'], { CONSUL_HTTP_ADDR: `http://${plane.httpAddress}` })
    expect(wrong).toEqual({
      code: 1,
      out: '',
      err: 'outrigger: Permission denied (the token comes from --token, --token-file or CONSUL_HTTP_TOKEN)\n',
    })
  })
})
