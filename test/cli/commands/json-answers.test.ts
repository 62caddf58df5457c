// What a script reads: the commands that answer in words answer with `--json` in one JSON document, and nothing beside it, the same exit code.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CliFixture } from '../../support/cli-fixture.js'

const cli = new CliFixture()
const other = new CliFixture({ nodeName: 'node-2' })
beforeAll(async () => {
  await cli.start()
  await other.start()
})
afterAll(async () => {
  await cli.stop()
  await other.stop()
})

// biome-ignore lint/suspicious/noExplicitAny: JSON of the commands under test
const json = async (...argv: string[]): Promise<any> => JSON.parse(await cli.out(...argv, '--json'))
const entry = (name: string, more = ''): string => `Kind: service-defaults\nName: ${name}\nProtocol: http\n${more}`

describe('apply', () => {
  it('says what was written, in one object', async () => {
    const one = cli.file('one.yaml', entry('web'))
    const two = cli.file('two.yaml', `${entry('api')}---\n${entry('db')}`)
    expect(await json('apply', '-f', one)).toEqual({ Applied: ['service-defaults/web'], Warnings: [], Refused: [] })
    expect(await json('apply', '-f', two)).toMatchObject({ Applied: ['service-defaults/api', 'service-defaults/db'] })
  })

  it('says whose entry is refused and why, with exit code 1, and that nothing was written', async () => {
    const file = cli.file('bad.yaml', `${entry('good')}---\n${entry('bad', 'MaxInboundConnections: -3\n')}`)
    const { code, out, err } = await cli.call('apply', '-f', file, '--json')
    expect([code, JSON.parse(out)]).toEqual([
      1,
      {
        Applied: [],
        Warnings: [],
        Refused: [{ From: expect.stringContaining(file), Name: 'service-defaults/bad', Reason: expect.any(String) }],
      },
    ])
    expect(err).toContain('service-defaults/bad: MaxInboundConnections')
  })

  it('says the same in words without it', async () => {
    const file = cli.file('bad.yaml', `${entry('good')}---\n${entry('bad', 'MaxInboundConnections: -3\n')}`)
    const { code, out, err } = await cli.call('apply', '-f', file)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^outrigger: .*bad\.yaml.*: service-defaults\/bad: MaxInboundConnections/)
  })
})

it('register and services register|deregister name the instances', async () => {
  const file = cli.file('services.yaml', 'services:\n- {name: shop, id: shop-1, port: 80}\n- {name: cart, port: 81}\n')
  expect(await json('register', '-f', file)).toEqual({ Registered: ['shop-1', 'cart'], Warnings: [], Refused: [] })
  expect(await json('services', 'register', '-name', 'till', '-port', '82')).toEqual({ Registered: ['till'] })
  expect(await json('services', 'deregister', '-id', 'till')).toEqual({ Deregistered: ['till'] })
})

it('import gives its counts, what it leaves and what is not taken', async () => {
  expect((await cli.call('kv', 'put', 'a', 'b')).code).toBe(0)
  const { code, out } = await cli.call('import', '--from', cli.plane.httpAddress, '--http-addr', other.plane.httpAddress, '--json')
  expect([code, JSON.parse(out)]).toEqual([
    0,
    {
      DryRun: false,
      Kinds: expect.arrayContaining([{ Kind: 'keys', Created: 1, Updated: 0, Unchanged: 0, Refused: 0 }]),
      Left: expect.arrayContaining([expect.stringContaining('services and nodes')]),
      NotTaken: [],
    },
  ])
})

it.each([
  ['catalog datacenters', ['dc1']],
  ['catalog nodes', [expect.objectContaining({ Node: 'node-1' })]],
  ['catalog nodes -service nothing', []],
  ['catalog services', expect.objectContaining({ consul: [] })],
  ['config list -kind service-defaults', expect.arrayContaining([expect.objectContaining({ Name: 'web', Protocol: 'http' })])],
  ['members', [expect.objectContaining({ Name: 'node-1' })]],
  ['info', expect.objectContaining({ agent: expect.objectContaining({ services: expect.any(String) }) })],
  ['operator raft list-peers', [expect.objectContaining({ Leader: true })]],
  ['operator autopilot get-config', expect.objectContaining({ CleanupDeadServers: true })],
  ['peering list', []],
  ['ready', { State: 'LIVE' }],
  ['operator usage instances', { dc1: expect.objectContaining({ Services: expect.any(Number) }) }],
])('%s', async (command, answer) => {
  expect(await json(...command.split(' '))).toEqual(answer)
})

it('kv import names the keys', async () => {
  const file = cli.file('keys.json', JSON.stringify([{ key: 'k', flags: 0, value: 'dg==' }]))
  const { code, out } = await cli.call('kv', 'import', '--json', '--prefix', 'x/', `@${file}`)
  expect([code, JSON.parse(out)]).toEqual([0, { Imported: ['x/k'] }])
})

it('troubleshoot ports says of each whether it is open', async () => {
  const port = Number(cli.plane.httpAddress.split(':')[1])
  expect(await json('troubleshoot', 'ports', '-host', '127.0.0.1', '-ports', String(port))).toEqual([
    { Port: port, Open: true, Problem: '' },
  ])
})
