import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'

const dir = mkdtempSync(join(tmpdir(), 'outrigger-socket-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const start = async (path: string): Promise<ControlPlane> => {
  const plane = new ControlPlane({ httpAddr: `unix://${path}`, grpcAddr: '127.0.0.1:0' })
  await plane.start()
  return plane
}
const status = (socketPath: string, host: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: '/v1/status/leader', headers: { host } }, response => {
      response.resume().once('end', () => resolve(response.statusCode))
    })
    sent.once('error', reject)
    sent.end()
  })

it('serves a socket file to its owner alone, whatever the Host, and takes it away at the end', async () => {
  const path = join(dir, 'api.sock')
  const plane = await start(path)
  expect(plane.httpAddress).toBe(`unix://${path}`)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect([await status(path, 'localhost'), await status(path, 'anything.example')]).toEqual([200, 200])
  await plane.stop()
  expect(existsSync(path)).toBe(false)
})

it('takes the place of a socket that nobody listens on, and of nothing else', async () => {
  const path = join(dir, 'dead.sock')
  const killed = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', killed])
  expect(existsSync(path)).toBe(true)
  await (await start(path)).stop()
  const other = createServer().listen(path)
  await new Promise(resolve => other.once('listening', resolve))
  await expect(start(path)).rejects.toThrow('the address is already in use')
  await new Promise(resolve => other.close(resolve))
  writeFileSync(path, 'a file of somebody')
  await expect(start(path)).rejects.toThrow('the address is already in use')
  await expect(start('relative.sock')).rejects.toThrow('must be unix:///path')
  await expect(start(`/${'x'.repeat(120)}`)).rejects.toThrow('at most 107 bytes')
})
