// What systemd is told, by systemd's own systemd-notify, received on a real datagram socket of Unix (which Node has not: Python has); and the
// units of examples/deploy/systemd, judged by systemd-analyze. Skipped by name where these are not installed.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/proxy-process.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const has = (program: string, ...argv: string[]): boolean => spawnSync(program, argv).status === 0
const HAS_NOTIFY = has('systemd-notify', '--version') && has('python3', '--version')
const HAS_ANALYZE = has('systemd-analyze', '--version')

const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    for line in s.recv(4096).decode().split('\\n'):
        print(line, flush=True)
`

const folder = mkdtempSync(join(tmpdir(), 'outrigger-notify-'))
const children: ChildProcess[] = []
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

function run(bin: string, argv: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn(process.execPath, [join(root, 'bin', bin), ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  children.push(child)
  return child
}

const CONTROL = ['control', '--http-addr', '127.0.0.1:0', '--grpc-addr', '127.0.0.1:0', '--dns-addr', 'off']

describe.skipIf(!HAS_NOTIFY)('a process that systemd has started (needs systemd-notify and python3)', () => {
  const socket = join(folder, 'notify')
  const said: string[] = []
  beforeAll(async () => {
    const receiver = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(receiver)
    createInterface(receiver.stdout).on('line', line => said.push(line))
    await until('the receiver listens', () => said.includes('bound'))
  })

  it.each([
    ['the control plane', 'outrigger', CONTROL],
    ['a sidecar', 'outrigger-proxy', ['--config-yaml', 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}']],
  ])('%s says when it serves, that it lives, and that it ends', async (_what, bin, argv) => {
    said.length = 0
    const child = run(bin, argv, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' })
    await until('READY=1', () => said.includes('READY=1'))
    await until('two feeds of the watchdog', () => said.filter(line => line === 'WATCHDOG=1').length > 1)
    child.kill('SIGTERM')
    await once(child, 'exit')
    await until('STOPPING=1', () => said.includes('STOPPING=1'))
    expect(said.filter(line => line === 'READY=1')).toHaveLength(1)
    expect(said.indexOf('READY=1')).toBeLessThan(said.indexOf('WATCHDOG=1'))
  })

  it("feeds no watchdog that is another process's", async () => {
    said.length = 0
    const child = run('outrigger', CONTROL, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' })
    await until('READY=1', () => said.includes('READY=1'))
    child.kill('SIGTERM')
    await until('STOPPING=1', () => said.includes('STOPPING=1'))
    expect(said).not.toContain('WATCHDOG=1')
  })
})

it('where systemd-notify is not there, says so once and goes on', async () => {
  const child = run('outrigger', CONTROL, { NOTIFY_SOCKET: join(folder, 'nobody'), PATH: '' })
  let log = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()))
  await until('it is said', () => log.includes('systemd cannot be told: there is no systemd-notify'))
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  expect([code, log.split('systemd cannot be told').length - 1]).toEqual([0, 1])
})

describe('examples/deploy/systemd', () => {
  const units = ['outrigger.service', 'outrigger-sidecar@.service']
  const path = (unit: string): string => join(root, 'examples/deploy/systemd', unit)

  it.each(units)('%s is notified, watched, reloaded or restarted, and may write nothing but its state', unit => {
    const text = readFileSync(path(unit), 'utf8')
    for (const line of [
      'Type=notify',
      'NotifyAccess=all',
      'WatchdogSec=30s',
      'ProtectSystem=strict',
      'NoNewPrivileges=yes',
      'CapabilityBoundingSet=',
    ])
      expect(text.split('\n')).toContain(line)
  })

  it.skipIf(!HAS_ANALYZE).each(units)('%s is right, and little exposed (needs systemd-analyze)', unit => {
    // The executable need not be installed here.
    const copy = join(folder, unit)
    writeFileSync(copy, readFileSync(path(unit), 'utf8').replaceAll('ExecStart=outrigger', 'ExecStart=/bin/true'))
    execFileSync('systemd-analyze', ['verify', '--man=no', copy], { stdio: 'pipe' })
    execFileSync('systemd-analyze', ['security', '--offline=yes', '--threshold=20', copy], { stdio: 'pipe' })
  })
})
