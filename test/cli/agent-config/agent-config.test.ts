// Consul's agent configuration: how files are merged, what is refused, what is named as without effect, and what becomes of it.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadAgentConfig } from '../../../src/cli/agent-config/agent-config.js'
import { configuredBy, controlFlagsOf } from '../../../src/cli/agent-config/control-settings.js'
import { configuredOptions, controlOptions } from '../../../src/cli/commands/control-options.js'
import { CliFixture } from '../../support/cli-fixture.js'
import { testIo } from '../../support/command-io.js'

const cli = new CliFixture()
afterAll(() => cli.stop())

const load = (...paths: string[]) => loadAgentConfig({ configFile: paths, values: new Map() }, testIo())
const hcl = (name: string, text: string): string => cli.file(name, text)

describe('files', () => {
  it('are merged in order: later values stand, lists are joined, objects merged key by key', () => {
    const first = hcl(
      'a.hcl',
      `datacenter = "one"
recursors = ["10.0.0.1"]
ports { http = 1000, dns = 2000 }
service { name = "web", port = 80 }
`,
    )
    const second = cli.file(
      'b.json',
      JSON.stringify({ datacenter: 'two', recursors: ['10.0.0.2'], ports: { http: 3000 }, services: [{ name: 'api', port: 81 }] }),
    )
    expect(load(first, second)).toMatchObject({
      datacenter: 'two',
      recursors: ['10.0.0.1', '10.0.0.2'],
      ports: { http: 3000, dns: 2000 },
      services: [
        { name: 'web', port: 80 },
        { name: 'api', port: 81 },
      ],
    })
    expect(load(second, first).datacenter).toBe('one')
  })

  it('of a folder are read by name, and only those that end in .hcl or .json', () => {
    const folder = join(cli.folder, 'conf.d')
    mkdirSync(join(folder, 'below'), { recursive: true })
    hcl('conf.d/20.hcl', 'node_name = "late"')
    hcl('conf.d/10.json', '{"node_name": "early", "domain": "early"}')
    hcl('conf.d/notes.txt', 'node_name = "no"')
    expect(load(folder)).toMatchObject({ node_name: 'late', domain: 'early' })
  })

  it('stand behind flags', () => {
    const file = hcl('flagged.hcl', 'node_name = "file"\nports { http = 1 }')
    const values = new Map([
      ['node_name', { flag: '-node', given: 'flag' }],
      ['ports.http', { flag: '-http-port', given: '9000' }],
    ])
    expect(loadAgentConfig({ configFile: [file], values }, testIo())).toMatchObject({ node_name: 'flag', ports: { http: 9000 } })
    values.set('ports.http', { flag: '-http-port', given: 'many' })
    expect(() => loadAgentConfig({ values }, testIo())).toThrow('-http-port "many": must be a whole number')
  })

  it.each([
    ['nonsense = 1', 'bad.hcl: invalid config key nonsense'],
    ['ports { htttp = 1 }', 'bad.hcl: invalid config key ports.htttp'],
    ['datacenter = ["a"]', 'bad.hcl: datacenter: must be a string'],
    ['ports { http = "x" }', 'bad.hcl: ports.http: must be a whole number'],
    ['dns_config { node_ttl = "soon" }', 'bad.hcl: dns_config.node_ttl: must be a duration'],
    ['ports = 8500', 'bad.hcl: ports: must be an object'],
    ['datacenter = "x', 'bad.hcl: '],
  ])('with %j are refused with the file and the key', (text, message) => {
    expect(() => load(hcl('bad.hcl', text))).toThrow(message)
  })

  it('of no known name are refused unless the format is said', () => {
    const file = hcl('conf', 'datacenter = "x"')
    expect(() => load(file)).toThrow('must end in .hcl or .json, or -config-format')
    expect(loadAgentConfig({ configFile: [file], configFormat: 'hcl', values: new Map() }, testIo()).datacenter).toBe('x')
    expect(() => load('/nowhere/x.hcl')).toThrow('/nowhere/x.hcl: no such file or folder')
  })

  it('may hold keys without a meaning here, which are named', () => {
    const file = hcl(
      'whole.hcl',
      'server = true\nencrypt = "k"\nperformance { raft_multiplier = 1 }\nretry_join = ["x"]\ntelemetry { disable_hostname = true }',
    )
    expect(load(file).withoutEffect).toEqual(['encrypt', 'performance.raft_multiplier', 'retry_join', 'telemetry.disable_hostname'])
  })
})

describe('the control plane', () => {
  const options = (text: string) => {
    const config = load(hcl('server.hcl', text))
    return { ...controlOptions(controlFlagsOf(config), testIo()), ...configuredOptions(config, testIo()) }
  }

  it('listens where ports and addresses say', () => {
    expect(
      options('client_addr = "10.0.0.5"\nports { https = 8501, grpc = -1, grpc_tls = 8503, dns = -1 }\naddresses { https = "::" }'),
    ).toMatchObject({
      httpAddr: '10.0.0.5:8500',
      httpsAddr: '[::]:8501',
      grpcAddr: 'off',
      grpcTlsAddr: '10.0.0.5:8503',
    })
    expect(options('ports { dns = -1 }')).not.toHaveProperty('dns')
    expect(options('datacenter = "x"')).not.toHaveProperty('httpAddr')
    expect(() => options('client_addr = "10.0.0.5 127.0.0.1"')).toThrow('one IP address')
  })

  it('takes ACLs, DNS, CA and the rest by Consul’s names', () => {
    const secret = '00000000-0000-0000-0000-000000000abc'
    expect(
      options(`
acl { enabled = true, default_policy = "deny", tokens { initial_management = "${secret}", default = "d" } }
domain = "mesh", recursors = ["10.0.0.1"], dns_config { only_passing = true, node_ttl = "5s", service_ttl { web = "10s" } }
connect { ca_provider = "consul", ca_config { leaf_cert_ttl = "24h" } }
http_config { block_endpoints = ["/v1/kv"], response_headers { X = "y" } }
advertise_addr = "10.1.1.1", node_name = "n", enable_script_checks = true
`),
    ).toMatchObject({
      acl: { defaultPolicy: 'deny', initialManagement: secret, tokens: { default: 'd' } },
      dns: { domain: 'mesh', onlyPassing: true, nodeTtlSeconds: 5, recursors: [{ host: '10.0.0.1', port: 53 }] },
      ca: { leafCertTtlMs: 24 * 3_600_000 },
      httpConfig: { blockEndpoints: ['/v1/kv'], responseHeaders: { X: 'y' } },
      nodeAddress: '10.1.1.1',
      nodeName: 'n',
      localScriptChecks: true,
      scriptChecksByApi: true,
    })
  })

  it('allows what intentions do not speak of, unless ACLs deny by default, as Consul does', () => {
    expect(options('datacenter = "x"').defaultIntentionPolicy).toBe('allow')
    expect(options('acl { enabled = true }').defaultIntentionPolicy).toBe('allow')
    expect(options('acl { enabled = true, default_policy = "deny" }').defaultIntentionPolicy).toBeUndefined()
    expect(options('default_intention_policy = "deny"').defaultIntentionPolicy).toBe('deny')
  })

  it('takes the Prometheus of the console, as Consul names it', () => {
    const ui = (more: string) => options(`ui_config { enabled = true, ${more} }`)
    const proxy = 'metrics_proxy { base_url = "http://prometheus:9090/p" }'
    expect(ui(`metrics_provider = "prometheus"\n${proxy}`).prometheus).toBe('http://prometheus:9090/p')
    expect(ui(proxy.replace('metrics_proxy', '\nmetrics_proxy')).prometheus).toBeUndefined()
    expect(() => ui('metrics_provider = "other"')).toThrow('ui_config.metrics_provider "other": must be prometheus')
    expect(() => ui('metrics_provider = "prometheus"\nmetrics_proxy { base_url = "http://me:secret@p" }')).toThrow(
      'must be an http or https URL, without a user or a password',
    )
  })

  it('reads TLS files, one port’s over the defaults', () => {
    const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map(name => cli.file(name, name))
    const { tls } = configuredBy(
      load(
        hcl(
          'tls.hcl',
          `tls { defaults { ca_file = "${ca}", cert_file = "${cert}", key_file = "${key}", verify_incoming = true, tls_min_version = "TLSv1_3" }
                 https { verify_incoming = false } }`,
        ),
      ),
      testIo(),
    )
    expect(tls).toEqual({
      https: { certPem: 'cert.pem', keyPem: 'key.pem', caPem: 'ca.pem', minVersion: 'TLSv1.3' },
      grpc: { certPem: 'cert.pem', keyPem: 'key.pem', caPem: 'ca.pem', clientCaPem: 'ca.pem', minVersion: 'TLSv1.3' },
    })
    expect(() => configuredBy(load(hcl('half.hcl', `tls { https { cert_file = "${cert}" } }`)), testIo())).toThrow(
      'cert_file and key_file go together',
    )
    expect(() => configuredBy(load(hcl('no-ca.hcl', 'tls { grpc { verify_incoming = true } }')), testIo())).toThrow('needs ca_file')
  })
})

describe('outrigger validate', () => {
  it('says what is good, what has no effect, and what is wrong with exit code 1', async () => {
    const good = hcl('good.hcl', 'server = true\nencrypt = "k"\nservices = [{ name = "web", port = 80 }]')
    expect(await cli.call('validate', good)).toEqual({ code: 0, out: 'Configuration is valid!\n', err: 'without effect here: encrypt\n' })
    expect(await cli.call('validate', '-quiet', good)).toEqual({ code: 0, out: '', err: '' })
    expect(await cli.call('validate', hcl('wrong.hcl', 'services = [{ name = "web", prot = 80 }]'))).toEqual({
      code: 1,
      out: '',
      err: 'outrigger: services[0].prot: unknown field\n',
    })
    expect(await cli.call('validate', hcl('scripts.hcl', 'check { name = "s", args = ["true"], interval = "10s" }'))).toMatchObject({
      code: 1,
    })
    expect(
      await cli.call(
        'validate',
        hcl('entry.hcl', 'config_entries { bootstrap = [{ Kind = "service-defaults", Name = "web", Protocol = 5 }] }'),
      ),
    ).toMatchObject({ code: 1, err: expect.stringContaining('config_entries.bootstrap[0].Protocol') })
  })
})

describe('outrigger agent', () => {
  it('is refused without a place for its state, and with keys that nobody knows', async () => {
    expect((await cli.call('agent', '-server')).err).toBe(
      'outrigger: data_dir cannot be empty: -data-dir names it (-dev keeps the state in memory)\n',
    )
    expect((await cli.call('agent', '-dev', '-config-file', hcl('odd.hcl', 'odd = 1'))).err).toMatch(/invalid config key odd/)
    expect((await cli.call('agent', '-dev', '-http-port', 'x')).err).toContain('-http-port "x": must be a whole number')
  })
})
