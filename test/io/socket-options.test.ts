// The kernel's answer for connections that nobody redirected, and the reasons where it cannot be asked. What it says of redirected ones is
// tested in network namespaces: test/integration/transparent-proxy.test.ts.
import net from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect, it } from 'vitest'
import { loadSocketOptions, socketOptions, unmapped } from '../../src/io/socket-options.js'

it('says what is missing', () => {
  expect(loadSocketOptions('darwin', () => null)).toEqual({
    ok: false,
    reason: 'the original destination of a connection is known on Linux only, this is darwin',
  })
  const absent = (): never => {
    throw new Error("Cannot find module 'koffi'\nRequire stack:")
  }
  expect(loadSocketOptions('linux', absent)).toEqual({
    ok: false,
    reason: "the optional package koffi, by which the kernel is asked, cannot be loaded: Cannot find module 'koffi'",
  })
})

it('writes an IPv4 address in one way', () => {
  expect(['::ffff:10.0.0.1', '10.0.0.1', '::1', '::ffff:a00:1'].map(unmapped)).toEqual(['10.0.0.1', '10.0.0.1', '::1', '::ffff:a00:1'])
})

const hasIpv6 = Object.values(networkInterfaces()).some(addresses => addresses?.some(({ address }) => address === '::1'))

it.runIf(process.platform === 'linux').each(['127.0.0.1', ...(hasIpv6 ? ['::1', '::'] : [])])(
  'knows no other destination of a connection to %s itself',
  async host => {
    const options = socketOptions()
    if (!options.ok) throw new Error(options.reason)
    const server = net.createServer()
    const accepted = new Promise<net.Socket>(resolve => {
      server.once('connection', resolve)
    })
    await new Promise<void>(resolve => server.listen(0, host, resolve))
    const client = net.connect((server.address() as net.AddressInfo).port, host === '::' ? '127.0.0.1' : host)
    const socket = await accepted
    expect(options.value.originalDestination(socket)).toBeNull()
    socket.destroy()
    await new Promise(resolve => socket.once('close', resolve))
    expect(options.value.originalDestination(socket)).toBeNull()
    client.destroy()
    server.close()
  },
)
