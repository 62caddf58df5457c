// Snapshots, connect, tls, operator, debug, completion, and the commands that say no.
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CliFixture, runCommand } from '../../support/cli-fixture.js'

const cli = new CliFixture()
const started = process.cwd()
beforeAll(async () => {
  await cli.start()
  await cli.out(
    'services',
    'register',
    cli.file('web.json', JSON.stringify({ services: [{ ID: 'web-1', Name: 'web', Port: 9001, Connect: { SidecarService: {} } }] })),
  )
})
afterEach(() => process.chdir(started))
afterAll(() => cli.stop())

describe('snapshot', () => {
  it('is saved, looked into, and restored', async () => {
    await cli.out('kv', 'put', 'kept', 'before')
    const file = join(cli.folder, 'state.snap')
    expect(await cli.out('snapshot', 'save', file)).toMatch(/^Saved and verified snapshot to index \d+\n$/)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await cli.out('snapshot', 'save', '-append-filename=dc,node', file)).toContain('Saved')
    expect(existsSync(join(cli.folder, 'state-dc1-node-1.snap'))).toBe(true)
    expect(await cli.out('snapshot', 'inspect', file)).toMatch(/^ Version +1\n Index +\d+\n Size +\d+\n\n Type +Count\n[\s\S]* kv +1\n/)
    expect(JSON.parse(await cli.out('snapshot', 'inspect', '-format=json', file))).toMatchObject({ Counts: { kv: 1 } })
    await cli.out('kv', 'put', 'kept', 'after')
    expect(await cli.out('snapshot', 'restore', file)).toBe('Restored snapshot\n')
    expect(await cli.out('kv', 'get', 'kept')).toBe('before\n')
    const damaged = readFileSync(file)
    damaged[damaged.length >> 1]! ^= 0xff
    expect(await cli.call('snapshot', 'inspect', cli.file('damaged.snap', damaged))).toMatchObject({
      code: 1,
      err: expect.stringContaining('damaged.snap: '),
    })
    expect((await cli.call('snapshot', 'restore', join(cli.folder, 'damaged.snap'))).code).toBe(1)
  })
})

describe('connect', () => {
  it('prints the bootstrap of a sidecar by its service or its own ID', async () => {
    const byService = await cli.out('connect', 'envoy', '-sidecar-for', 'web-1', '-bootstrap', '-admin-bind=127.0.0.1:19333')
    const bootstrap = JSON.parse(byService)
    expect(bootstrap.node.id).toBe('web-1-sidecar-proxy')
    expect(bootstrap.admin.address.socket_address.port_value).toBe(19_333)
    const ca = cli.file('grpc-ca.pem', 'PEM')
    const secure = JSON.parse(
      await cli.out(
        'connect',
        'envoy',
        '-proxy-id=web-1-sidecar-proxy',
        '-bootstrap',
        '-grpc-addr=https://10.0.0.1:8503',
        '-grpc-ca-file',
        ca,
      ),
    )
    const [cluster] = secure.static_resources.clusters
    expect(JSON.stringify(cluster.load_assignment)).toContain('"address":"10.0.0.1","port_value":8503')
    expect(JSON.stringify(cluster.transport_socket)).toContain('PEM')
    expect(await cli.call('connect', 'envoy', '-sidecar-for', 'nobody', '-bootstrap')).toMatchObject({
      code: 1,
      err: 'outrigger: No sidecar proxy registered for nobody\n',
    })
    expect((await cli.call('connect', 'envoy', '-bootstrap')).err).toBe('outrigger: one of --sidecar-for and --proxy-id is needed\n')
  })

  it('prints what Nomad asks for: the socket of its allocation, and an -address that is for gateways', async () => {
    const args = ['-grpc-addr', 'unix://alloc/tmp/consul_grpc.sock', '-admin-bind', '127.0.0.2:19001', '-address', '127.0.0.1:19101']
    const wrong = await cli.call('connect', 'envoy', ...args, '-proxy-id', 'web-1-sidecar-proxy', '-bootstrap')
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('the path of a unix socket must be absolute') })
    args[1] = 'unix:///alloc/tmp/consul_grpc.sock'
    const ready = ['-envoy-ready-bind-address', '0.0.0.0', '-envoy-ready-bind-port', '19100']
    const { static_resources, admin } = JSON.parse(
      await cli.out('connect', 'envoy', ...args, ...ready, '-proxy-id', 'web-1-sidecar-proxy', '-bootstrap'),
    )
    expect(admin.address.socket_address).toEqual({ address: '127.0.0.2', port_value: 19_001 })
    expect(JSON.stringify(static_resources.clusters[0])).toContain('"pipe":{"path":"/alloc/tmp/consul_grpc.sock"}')
    expect(static_resources.listeners[0]).toMatchObject({
      name: 'envoy_ready_listener',
      address: { socket_address: { address: '0.0.0.0', port_value: 19_100 } },
    })
    expect(await cli.call('connect', 'envoy', '-envoy-ready-bind-port=1', '-proxy-id=web-1-sidecar-proxy', '-bootstrap')).toMatchObject({
      code: 1,
      err: 'outrigger: --envoy-ready-bind-address and --envoy-ready-bind-port need each other\n',
    })
  })

  it('says whether the control plane, or a sidecar, serves', async () => {
    expect(await cli.out('ready')).toBe('LIVE\n')
    expect(await cli.call('ready', '--admin', '127.0.0.1:1')).toMatchObject({ code: 1, err: expect.stringContaining('the sidecar') })
  })

  it('runs another executable with the bootstrap in a file of its owner alone, and ends as it does', async () => {
    const program = cli.file(
      'envoy',
      '#!/bin/sh\nstat -c %a "$2" > "$(dirname "$0")/seen"\ncat "$2" >> "$(dirname "$0")/seen"\necho "$3 $4" >> "$(dirname "$0")/seen"\nexit 7\n',
    )
    chmodSync(program, 0o755)
    const run = await cli.call('connect', 'envoy', '-proxy-id=web-1-sidecar-proxy', '-envoy-binary', program, '--', '-l', 'debug')
    expect(run.code).toBe(7)
    const seen = readFileSync(join(cli.folder, 'seen'), 'utf8')
    expect(seen).toMatch(/^600\n\{\n/)
    expect(seen).toMatch(/-l debug\n$/)
    expect(await cli.call('connect', 'envoy', '-proxy-id=web-1-sidecar-proxy', '-envoy-binary=/nowhere/envoy')).toMatchObject({ code: 1 })
  })

  it('shows and changes the configuration of the CA', async () => {
    const config = JSON.parse(await cli.out('connect', 'ca', 'get-config'))
    expect(config).toMatchObject({ Provider: 'consul' })
    const file = cli.file('ca.json', JSON.stringify({ Provider: 'consul', Config: { ...config.Config, LeafCertTTL: '24h' } }))
    expect(await cli.out('connect', 'ca', 'set-config', '-config-file', file)).toBe('Configuration updated!\n')
    expect(JSON.parse(await cli.out('connect', 'ca', 'get-config')).Config.LeafCertTTL).toMatch(/^24h/)
  })
})

describe('tls', () => {
  it('makes a CA and certificates of it, with keys of their owner alone', async () => {
    const folder = join(cli.folder, 'tls')
    mkdirSync(folder)
    process.chdir(folder)
    expect(await cli.out('tls', 'ca', 'create')).toBe('==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n')
    expect(await cli.call('tls', 'ca', 'create')).toMatchObject({ code: 1, err: 'outrigger: consul-agent-ca.pem exists\n' })
    const made = await cli.out(
      'tls',
      'cert',
      'create',
      '-server',
      '-node=n1',
      '-additional-ipaddress=::1',
      '-additional-ipaddress=10.0.0.7',
    )
    expect(made).toMatch(
      /WARNING[\s\S]*==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n==> Saved dc1-server-consul-0.pem\n==> Saved dc1-server-consul-0-key.pem\n$/,
    )
    await cli.out('tls', 'cert', 'create', '-client')
    await cli.out('tls', 'cert', 'create', '-client', '-days=10')
    await cli.out('tls', 'cert', 'create', '-cli', '-additional-dnsname=x.example')
    const read = (name: string): X509Certificate => new X509Certificate(readFileSync(join(folder, name)))
    const [ca, server, second, cliCert] = ['consul-agent-ca', 'dc1-server-consul-0', 'dc1-client-consul-1', 'dc1-cli-consul-0'].map(name =>
      read(`${name}.pem`),
    ) as X509Certificate[]
    expect(server!.checkIssued(ca!) && server!.verify(ca!.publicKey)).toBe(true)
    for (const name of ['server.dc1.consul', 'n1.server.dc1.consul', 'localhost']) expect(server!.checkHost(name)).toBe(name)
    for (const ip of ['127.0.0.1', '::1', '10.0.0.7']) expect(server!.checkIP(ip)).toBe(ip)
    expect(cliCert!.checkHost('x.example')).toBe('x.example')
    expect(Date.parse(second!.validTo)).toBeLessThan(Date.now() + 11 * 86_400_000)
    for (const name of ['consul-agent-ca', 'dc1-server-consul-0', 'dc1-client-consul-0'])
      expect(statSync(join(folder, `${name}-key.pem`)).mode & 0o777).toBe(0o600)
    expect(await cli.call('tls', 'cert', 'create')).toMatchObject({ code: 1 })
    writeFileSync(join(folder, 'consul-agent-ca-key.pem'), readFileSync(join(folder, 'dc1-client-consul-0-key.pem')))
    expect(await cli.call('tls', 'cert', 'create', '-client')).toMatchObject({
      code: 1,
      err: expect.stringContaining('do not go together'),
    })
  })
})

describe('one server', () => {
  it('is its own raft', async () => {
    expect(await cli.out('operator', 'raft', 'list-peers')).toMatch(
      /^Node +ID +Address +State +Voter +RaftProtocol +Commit Index +Trails Leader By\nnode-1 +[0-9a-f-]{36} +127\.0\.0\.1:8300 +leader +true +3 +\d+ +-\n$/,
    )
    expect((await cli.call('operator', 'raft', 'transfer-leader')).err).toContain('only server')
    expect((await cli.call('operator', 'raft', 'remove-peer', '-id=x')).err).toContain('not found')
    await cli.out('operator', 'autopilot', 'set-config', '-min-quorum=3', '-cleanup-dead-servers=false')
    expect(await cli.out('operator', 'autopilot', 'get-config')).toMatch(/CleanupDeadServers += false\n[\s\S]*MinQuorum += 3\n/)
    expect(await cli.out('operator', 'autopilot', 'state')).toMatch(/^Healthy: +true\n/)
    expect(await cli.out('operator', 'usage', 'instances')).toMatch(
      /^Service instances\nDatacenter +Services +Service instances\ndc1 +\d+ +\d+\n/,
    )
  })

  it('has no gossip keys', async () => {
    expect((await cli.call('keyring', '-list')).err).toContain('no gossip')
    expect((await cli.call('keyring')).err).toContain('exactly one of')
  })
})

describe('debug', () => {
  it('collects an archive that tar reads', async () => {
    const output = join(cli.folder, 'debug-archive')
    const out = await cli.out('debug', '-duration=0s', '-output', output)
    expect(out).toContain(`Saved debug archive: ${output}.tar.gz\n`)
    const names = execFileSync('tar', ['-tzf', `${output}.tar.gz`])
      .toString()
      .trim()
      .split('\n')
      .sort()
    expect(names).toEqual(
      ['agent.json', 'host.json', 'index.json', 'members.json', 'metrics/00001.json', 'outrigger.log'].map(name => `debug-archive/${name}`),
    )
    const host = execFileSync('tar', ['-xzOf', `${output}.tar.gz`, 'debug-archive/host.json']).toString()
    expect(JSON.parse(host)).toHaveProperty('Memory')
    expect((await cli.call('debug', '-capture=pprof')).err).toContain('this is no Go program')
  })
})

describe('troubleshoot', () => {
  it('tells which ports are open', async () => {
    const port = cli.plane.httpAddress.split(':')[1]!
    expect(await cli.call('troubleshoot', 'ports', '-host=127.0.0.1', `-ports=${port},1`)).toEqual({
      code: 0,
      out: `TCP: Port ${port} on 127.0.0.1 is open\nTCP: Port 1 on 127.0.0.1 is closed, refused\n`,
      err: '',
    })
    expect((await cli.call('troubleshoot', 'ports', '-host=127.0.0.1', '-ports=1')).code).toBe(1)
    expect((await cli.call('troubleshoot', 'upstreams', '-envoy-admin-endpoint=127.0.0.1:1')).err).toBe(
      'outrigger: cannot reach the sidecar at http://127.0.0.1:1: connection refused (--envoy-admin-endpoint says where it is)\n',
    )
  })
})

describe('completion', () => {
  it('is offered by bash for commands and flags', async () => {
    const script = cli.file('completion.bash', await cli.out('completion', 'bash'))
    const complete = (...words: string[]): string[] =>
      execFileSync('bash', [
        '-c',
        `source '${script}'; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _outrigger; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        'outrigger',
        ...words,
      ])
        .toString()
        .trim()
        .split('\n')
    expect(complete('int')).toEqual(['intention'])
    expect(complete('kv', '')).toEqual(expect.arrayContaining(['get', 'put', 'delete', 'export', 'import']))
    expect(complete('kv', 'get', '--re')).toEqual(['--recurse'])
    expect(complete('acl', 'token', 'cr')).toEqual(['create'])
    for (const shell of ['zsh', 'fish']) expect(await cli.out('completion', shell)).toMatch(/intention/)
    expect((await cli.call('completion', 'csh')).code).toBe(1)
  })

  it('is installed once, where a shell is set up, and taken out again', async () => {
    const home = join(cli.folder, 'home')
    mkdirSync(join(home, '.config/fish'), { recursive: true })
    writeFileSync(join(home, '.bashrc'), 'alias x=y\n')
    for (let i = 0; i < 2; i++) expect((await runCommand(['-autocomplete-install'], { HOME: home })).code).toBe(0)
    expect(readFileSync(join(home, '.bashrc'), 'utf8')).toBe('alias x=y\nsource <(outrigger completion bash)\n')
    expect(existsSync(join(home, '.zshrc'))).toBe(false)
    expect(existsSync(join(home, '.config/fish/completions/outrigger.fish'))).toBe(true)
    await runCommand(['-autocomplete-uninstall'], { HOME: home })
    expect(readFileSync(join(home, '.bashrc'), 'utf8')).toBe('alias x=y\n')
    expect(existsSync(join(home, '.config/fish/completions/outrigger.fish'))).toBe(false)
  })
})

describe('what is not here', () => {
  it.each([
    [['exec', '-node=x', 'uptime'], 'exec: commands are not run on other machines'],
    [['namespace', 'list'], 'Consul Enterprise'],
  ])('%j says why', async (argv, reason) => {
    expect(await cli.call(...argv)).toMatchObject({ code: 1, err: expect.stringContaining(reason) })
  })
})
