// Consul's commands against a control plane: flags, words, tables and exit codes that scripts go by.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CliFixture, runCommand } from '../../support/cli-fixture.js'

const cli = new CliFixture()
beforeAll(() => cli.start())
afterAll(() => cli.stop())

const failure = (err: string) => ({ code: 1, out: '', err: `outrigger: ${err}\n` })
const success = (out: string) => ({ code: 0, out, err: '' })

describe('flags', () => {
  it('are read with one dash or two, with = or a space, before operands', async () => {
    for (const flag of ['-separator=|', '--separator=|']) expect(await cli.call('kv', 'get', '-keys', flag, 'none')).toEqual(success(''))
    expect(await cli.call('kv', 'get', '-keys=true', '-separator', '-x', 'none')).toEqual(success(''))
    expect(await cli.call('kv', 'get', '-recurse=false', 'none')).toEqual(failure('Error! No key exists at: none'))
    expect(await cli.call('kv', 'get', '-recurse=maybe', 'none')).toMatchObject({
      code: 1,
      err: expect.stringContaining('--recurse=maybe'),
    })
  })

  it('end where operands begin, so that a value may begin with a dash', async () => {
    expect(await cli.call('kv', 'put', 'flags/dash', '-value')).toEqual(success('Success! Data written to: flags/dash\n'))
    expect(await cli.call('kv', 'get', 'flags/dash')).toEqual(success('-value\n'))
  })

  it('that nobody knows are refused with what was perhaps meant', async () => {
    expect(await cli.call('kv', 'get', '-recurs', 'x')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/unknown option '--recurs'\n.*--recurse/),
    })
  })

  it('print help with -help, -h and --help', async () => {
    for (const flag of ['-help', '-h', '--help'])
      expect(await cli.call('kv', 'put', flag)).toMatchObject({ code: 0, out: expect.stringContaining('--http-addr <addr>') })
  })

  it('name the control plane by address, environment or scheme', async () => {
    const { httpAddress } = cli.plane
    for (const argv of [['-http-addr', httpAddress], [`-http-addr=http://${httpAddress}`]])
      expect(await runCommand(['catalog', 'datacenters', ...argv])).toEqual(success('dc1\n'))
    expect(await cli.call('catalog', 'datacenters', '-datacenter', 'dc9')).toEqual(
      failure('No path to datacenter: there is only dc1, and peering leads out of it (?peer=)'),
    )
    expect(await cli.call('catalog', 'nodes', '-namespace', 'team')).toMatchObject({ code: 1 })
    expect(await runCommand(['catalog', 'datacenters', '-client-cert', cli.file('c.pem', 'x')], cli.env)).toEqual(
      failure('--client-cert and --client-key go together'),
    )
  })
})

describe('kv', () => {
  it('puts, gets, and deletes', async () => {
    expect(await cli.call('kv', 'put', 'app/a', 'one')).toEqual(success('Success! Data written to: app/a\n'))
    expect(await cli.call('kv', 'put', '-flags=42', '/app/b', `@${cli.file('value', Buffer.from([0, 255, 10]))}`)).toMatchObject({
      code: 0,
    })
    expect(await cli.call('kv', 'put', 'app/empty')).toMatchObject({ code: 0 })
    expect(await cli.call('kv', 'get', 'app/a')).toEqual(success('one\n'))
    expect(await cli.call('kv', 'get', '-base64', 'app/b')).toEqual(success('AP8K\n'))
    expect(await cli.call('kv', 'get', '-recurse', 'app/a')).toEqual(success('app/a:one\n'))
    expect(await cli.call('kv', 'get', '-keys', 'app/')).toEqual(success('app/a\napp/b\napp/empty\n'))
    expect(await cli.call('kv', 'get', '-keys', '')).toEqual(success('app/\nflags/\n'))
    const { out } = await cli.call('kv', 'get', '-detailed', 'app/b')
    expect(out.replace(/\d+/g, 'N')).toMatch(
      /^CreateIndex {2}N\nFlags {8}N\nKey {10}app\/b\nLockIndex {4}N\nModifyIndex {2}N\nSession {6}-\nValue/,
    )
    expect(await cli.call('kv', 'delete', 'app/empty')).toEqual(success('Success! Deleted key: app/empty\n'))
    expect(await cli.call('kv', 'get', 'app/empty')).toEqual(failure('Error! No key exists at: app/empty'))
  })

  it('checks and sets', async () => {
    expect(await cli.call('kv', 'put', '-cas', 'cas/x', 'one')).toEqual(success('Success! Data written to: cas/x\n'))
    expect(await cli.call('kv', 'put', '-cas', 'cas/x', 'two')).toEqual(failure('Error! Did not write to cas/x: CAS failed'))
    const index = /ModifyIndex +(\d+)/.exec(await cli.out('kv', 'get', '-detailed', 'cas/x'))![1]!
    expect(await cli.call('kv', 'put', '-cas', `-modify-index=${index}`, 'cas/x', 'two')).toMatchObject({ code: 0 })
    expect(await cli.call('kv', 'delete', '-cas', `-modify-index=${index}`, 'cas/x')).toEqual(
      failure('Error! Did not delete key cas/x: CAS failed'),
    )
    expect(await cli.call('kv', 'put', '-modify-index=1', 'cas/x')).toEqual(failure('--modify-index needs --cas'))
    expect(await cli.call('kv', 'delete', '-recurse', 'cas/')).toEqual(success('Success! Deleted keys with prefix: cas/\n'))
    expect(await cli.call('kv', 'get', '-recurse', 'cas/')).toEqual(success(''))
  })

  it('exports and imports, with a prefix where one is asked for', async () => {
    const exported = await cli.out('kv', 'export', 'app/')
    expect(JSON.parse(exported)).toEqual([
      { key: 'app/a', flags: 0, value: 'b25l' },
      { key: 'app/b', flags: 42, value: 'AP8K' },
    ])
    expect(await cli.call('kv', 'import', '-prefix', 'copy/', exported)).toEqual(success('Imported: copy/app/a\nImported: copy/app/b\n'))
    expect(await cli.call('kv', 'import', `@${cli.file('keys.json', exported)}`)).toEqual(success('Imported: app/a\nImported: app/b\n'))
    expect(await cli.call('kv', 'get', '-base64', 'copy/app/b')).toEqual(success('AP8K\n'))
    expect(await cli.call('kv', 'import', '{}')).toMatchObject({ code: 1, err: expect.stringContaining('a list') })
  })
})

describe('services and catalog', () => {
  it('registers from flags and files, lists, and deregisters', async () => {
    expect(await cli.call('services', 'register', '-name=web', '-id=web-1', '-port=80', '-tag=a', '-tag=b', '-meta=v=1')).toEqual(
      success('Registered service: web\n'),
    )
    const hcl = cli.file('redis.hcl', 'service {\n  name = "redis"\n  port = 6379\n  tags = ["primary"]\n}\n')
    expect(await cli.call('services', 'register', hcl)).toEqual(success('Registered service: redis\n'))
    expect(await cli.call('catalog', 'services')).toEqual(success('consul\nredis\nweb\n'))
    expect(await cli.call('catalog', 'services', '-tags')).toEqual(success('consul\nredis   primary\nweb     a,b\n'))
    expect(await cli.call('catalog', 'services', '-node', 'node-1')).toEqual(success('consul\nredis\nweb\n'))
    expect(await cli.call('services', 'deregister', hcl)).toEqual(success('Deregistered service: redis\n'))
    expect(await cli.call('services', 'deregister', '-id', 'nobody')).toEqual(
      failure('Unknown service ID "nobody". Ensure that the service ID is passed, not the service name.'),
    )
    expect(await cli.call('services', 'deregister')).toEqual(failure('name either --id or files'))
  })

  it('lists nodes', async () => {
    expect((await cli.out('catalog', 'nodes')).replace(/[0-9a-f]{8}/, 'IDIDIDID')).toBe(
      'Node    ID        Address    DC\nnode-1  IDIDIDID  127.0.0.1  dc1\n',
    )
    expect(await cli.out('catalog', 'nodes', '-detailed', '-service', 'web')).toMatch(
      /^Node .*TaggedAddresses +Meta\nnode-1 +[0-9a-f-]{36} /,
    )
    expect(await cli.call('catalog', 'nodes', '-service', 'nobody')).toEqual(
      success('No nodes match the given query - try expanding your search\n'),
    )
    expect(await cli.call('catalog', 'nodes', '-node-meta', 'x=y')).toMatchObject({ out: expect.stringContaining('No nodes match') })
  })
})

describe('config', () => {
  it('writes, reads, lists and deletes entries', async () => {
    const file = cli.file('defaults.hcl', 'Kind = "service-defaults"\nName = "web"\nProtocol = "http"\n')
    expect(await cli.call('config', 'write', file)).toEqual(success('Config entry written: service-defaults/web\n'))
    expect(await cli.call('config', 'write', '-cas', '-modify-index=0', file)).toMatchObject({
      code: 1,
      err: 'outrigger: Config entry not updated: service-defaults/web: it was changed meanwhile\n',
    })
    const read = JSON.parse(await cli.out('config', 'read', '-kind', 'service-defaults', '-name=web'))
    expect(read).toMatchObject({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    expect(await cli.call('config', 'list', '-kind=service-defaults')).toEqual(success('web\n'))
    expect(await cli.call('config', 'delete', '-filename', file)).toEqual(success('Config entry deleted: service-defaults/web\n'))
    expect(await cli.call('config', 'read', '-kind=service-defaults', '-name=web')).toMatchObject({
      code: 1,
      err: expect.stringContaining('not found'),
    })
    expect(await cli.call('config', 'list')).toMatchObject({ code: 1, err: expect.stringContaining('--kind') })
  })

  it('names an entry of which there is one', async () => {
    const mesh = cli.file('mesh-entry.hcl', 'Kind = "mesh"\n')
    expect(await cli.call('apply', mesh)).toEqual(success('applied mesh/mesh\n'))
    expect(await cli.call('config', 'delete', '-kind=mesh', '-name=mesh')).toMatchObject({ code: 0 })
  })

  it('is pointed to by register, and the other way round', async () => {
    const entry = cli.file('entry.yaml', 'Kind: service-defaults\nName: web\n')
    expect(await cli.call('register', entry)).toEqual(failure(`${entry}: is a config entry (service-defaults): use "outrigger apply"`))
    const service = cli.file('service.yaml', 'Name: web\n')
    expect(await cli.call('apply', service)).toEqual(
      failure(`${service}: Kind: missing (a config entry is expected; services go to "outrigger register")`),
    )
  })
})

describe('intention', () => {
  it('creates, checks with exit codes, matches, shows and deletes', async () => {
    expect(await cli.call('intention', 'create', 'web', 'db')).toEqual(success('Created: web => db (allow)\n'))
    expect(await cli.call('intention', 'create', '-deny', 'web', 'db')).toEqual(
      failure('an intention web => db exists: --replace writes over it'),
    )
    expect(await cli.call('intention', 'check', 'web', 'db')).toEqual(success('Allowed\n'))
    expect(await cli.call('intention', 'create', '-deny', '-replace', 'web', 'db')).toEqual(success('Created: web => db (deny)\n'))
    expect(await cli.call('intention', 'check', 'web', 'db')).toEqual({ code: 2, out: 'Denied\n', err: '' })
    expect((await cli.call('intention', 'check', 'web')).code).toBe(1)
    await cli.out('intention', 'create', '*', 'db')
    expect(await cli.call('intention', 'match', 'db')).toEqual(success('web => db (deny)\n* => db (allow)\n'))
    expect(await cli.call('intention', 'match', '-source', 'web')).toMatchObject({ out: expect.stringContaining('web => db (deny)') })
    const shown = await cli.out('intention', 'get', 'web', 'db')
    expect(shown).toMatch(/^Source: +web\nDestination: +db\nAction: +deny\nID: +[0-9a-f-]{36}\nPrecedence: +9\n/)
    const id = /ID: +(\S+)/.exec(shown)![1]!
    expect(JSON.parse(await cli.out('intention', 'get', '-format=json', id))).toMatchObject({ SourceName: 'web', Action: 'deny' })
    expect(await cli.out('intention', 'list')).toMatch(/^ID +Source +Action +Destination +Precedence\n/)
    expect(await cli.call('intention', 'delete', id)).toEqual(success('Intention deleted.\n'))
    expect(await cli.call('intention', 'delete', 'web', 'db')).toEqual(failure('Intention not found'))
    await cli.out('intention', 'delete', '*', 'db')
  })

  it('takes files of intentions', async () => {
    const file = cli.file('pair.json', JSON.stringify({ SourceName: 'a', DestinationName: 'b', Action: 'deny', Description: 'why' }))
    expect(await cli.call('intention', 'create', '-file', file)).toEqual(success('Created: a => b (deny)\n'))
    expect(await cli.out('intention', 'get', 'a', 'b')).toMatch(/Description: +why\n/)
    await cli.out('intention', 'delete', 'a', 'b')
  })

  it('shows the permissions that allow would replace, and asks', async () => {
    const entries = cli.file(
      'permissions.yaml',
      `- { Kind: service-defaults, Name: paths, Protocol: http }
- { Kind: service-intentions, Name: paths, Sources: [{ Name: web, Permissions: [{ Action: allow, HTTP: { PathPrefix: /v1, Methods: [GET] } }] }] }
`,
    )
    await cli.out('apply', entries)
    const shown = 'web -> paths has 1 permission, which this replaces:\n  allow: paths from /v1; GET\n'
    const argv = ['intention', 'allow', 'web', 'paths']
    expect(await runCommand(argv, cli.env)).toEqual({
      code: 1,
      out: '',
      err: `${shown}outrigger: nothing was changed: --force replaces them without asking\n`,
    })
    expect((await runCommand(argv, cli.env, false)).err).toBe(`${shown}outrigger: nothing was changed\n`)
    expect(await cli.out('intention', 'get', 'web', 'paths')).toMatch(/Permission 1: +allow: paths from \/v1; GET\n/)
    expect((await runCommand(argv, cli.env, true)).out).toBe('allow: web -> paths\n')
    expect((await cli.call(...argv, '-force')).code).toBe(0)
  })
})

describe('the agent', () => {
  it('shows members, figures and round trips', async () => {
    expect(await cli.out('members')).toMatch(
      /^Node +Address +Status +Type +Build +Protocol +DC +Partition +Segment\nnode-1 +127\.0\.0\.1:8301 +alive +server +1\.\d+\.\d+ +2 +dc1 +default +<all>\n$/,
    )
    expect(await cli.out('members', '-detailed')).toMatch(/role=consul/)
    expect(await cli.call('members', '-status', 'failed')).toEqual({ code: 2, out: '', err: '' })
    expect(await cli.out('info')).toMatch(/^agent:\n\tchecks = \d+\n\tservices = \d+\n/)
    expect(await cli.out('rtt', 'node-1')).toMatch(/^Estimated node-1 <-> node-1 rtt: 0\.0\d\d ms \(using LAN coordinates\)\n$/)
    expect(await cli.call('rtt', 'nobody')).toEqual(failure('Could not find a coordinate for node "nobody"'))
  })

  it('goes into maintenance and back', async () => {
    expect(await cli.call('maint', '-enable', '-reason', 'disk')).toEqual(success('Node maintenance is now enabled\n'))
    expect(await cli.call('maint', '-enable', '-service=web-1')).toEqual(success('Service maintenance is now enabled for "web-1"\n'))
    expect(await cli.out('maint')).toMatch(/^Node:\n {2}Name: {3}node-1\n {2}Reason: disk\n\nService:\n {2}ID: {5}web-1\n {2}Reason: /)
    expect(await cli.call('maint', '-disable')).toEqual(success('Node maintenance is now disabled\n'))
    await cli.out('maint', '-disable', '-service=web-1')
    expect(await cli.call('maint')).toEqual(success(''))
    expect(await cli.call('maint', '-reason', 'x')).toMatchObject({ code: 1 })
  })

  it('fires events', async () => {
    expect(await cli.call('event', '-name=deploy', 'v2')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Event ID: [0-9a-f-]{36}\n$/),
    })
  })

  it('reloads, and answers what a single server cannot do', async () => {
    expect(await cli.call('reload')).toEqual(success('Configuration reload triggered\n'))
    expect(await cli.call('join', '10.0.0.1')).toMatchObject({ code: 1, err: expect.stringContaining('single server') })
    expect(await cli.call('force-leave', 'nobody')).toEqual(failure("agent: No node found with name 'nobody'"))
    expect((await cli.call('leave')).code).toBe(1)
  })
})

describe('without a control plane', () => {
  it('makes keys and says versions', async () => {
    expect(Buffer.from(await cli.out('keygen'), 'base64')).toHaveLength(32)
    expect(await cli.out('version')).toMatch(/^Outrigger v0\.1\.0\nAPI of Consul v1\./)
    expect(JSON.parse(await cli.out('version', '-format=json'))).toMatchObject({ Version: '0.1.0' })
  })
})
