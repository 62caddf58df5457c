// Small writes past Writable: the same bytes in the same order as by `write`, whatever waits for the kernel. Run it with each Node that is
// supported: what it relies on is not documented, and where it is missing the transport behaves alike.
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { BulkWriter } from '../../src/io/bulk-writer.js'
import { DirectWriter, WRITE_REQUEST } from '../../src/io/direct-write.js'
import { SocketTransport } from '../../src/io/socket-transport.js'

const direct = WRITE_REQUEST !== null
const opened: Socket[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

async function connect(): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = net.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[Socket], unknown]
  server.close()
  for (const socket of [near, far]) socket.on('error', () => {})
  opened.push(near, far)
  return { near, far }
}

async function received(socket: Socket): Promise<string> {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  socket.resume()
  await once(socket, 'end')
  return Buffer.concat(parts).toString('latin1')
}

test('Node 20 and 22 have what it relies on; later ones write as before', () => {
  expect(direct).toBe(Number(process.versions.node.split('.')[0]) < 24)
})

test('text and bytes arrive in order, before the end', async () => {
  const { near, far } = await connect()
  const transport = new SocketTransport(near)
  const all = received(far)
  transport.write('one ')
  transport.write(Buffer.from('two '))
  transport.write('\xe9 ')
  transport.write('x'.repeat(100_000))
  transport.write(Buffer.from(' last'))
  transport.end()
  expect(await all).toBe(`one two \xe9 ${'x'.repeat(100_000)} last`)
  expect(transport.bytesWritten).toBe(100_015)
})

test('what a slow peer has not taken counts as waiting, asks for a pause and drains; the order stays', async () => {
  const { near, far } = await connect()
  const transport = new SocketTransport(near, 1024)
  let sent = ''
  const text = (i: number): string => `${i} `.padEnd(4096, '.')
  for (let i = 0; i < 8192; i++) {
    sent += text(i)
    if (!transport.write(text(i))) break
  }
  expect(transport.writableLength).toBeGreaterThanOrEqual(1024)
  const drained = new Promise(resolve => near.once('drain', resolve))
  // Behind it: small and large.
  for (const more of ['small', Buffer.from('bytes'), Buffer.alloc(50_000, 'z'), 'last']) {
    sent += more.toString('latin1')
    transport.write(more)
  }
  const all = received(far)
  await drained
  transport.end()
  expect((await all) === sent).toBe(true)
  expect(transport.writableLength).toBe(0)
})

test('a relay sends small chunks past Writable and what follows behind them, in order', async () => {
  const { near, far } = await connect()
  const writer = new BulkWriter(near, 1024, DirectWriter.of(near))
  const all = received(far)
  let sent = ''
  for (let i = 0; i < 600; i++) {
    const chunk = Buffer.alloc([20, 7000, 9000, 40_000, 3][i % 5]!, `${i} \xff`, 'latin1')
    sent += chunk.toString('latin1')
    writer.write(chunk)
    if (i % 7 === 0) await new Promise(setImmediate)
  }
  near.end()
  expect((await all) === sent).toBe(true)
})

test('a relay whose peer reads nothing asks for a pause, and its target drains', async () => {
  const { near, far } = await connect()
  const writer = new BulkWriter(near, 1024, DirectWriter.of(near))
  const chunk = Buffer.alloc(4096, 'x')
  let written = 0
  do written++
  while (writer.write(chunk) && written < 8192)
  expect(written).toBeLessThan(8192)
  const drained = new Promise(resolve => near.once('drain', resolve))
  const all = received(far)
  await drained
  near.end()
  expect((await all).length).toBe(written * chunk.length)
})

test('a peer that has reset the connection ends the socket with an error', async () => {
  const { near, far } = await connect()
  const transport = new SocketTransport(near)
  const closed = new Promise(resolve => near.once('close', resolve))
  const gone = new Promise(resolve => far.once('close', resolve))
  far.resetAndDestroy()
  await gone
  for (let i = 0; i < 3; i++) transport.write('nobody reads this')
  await closed
  expect(near.destroyed).toBe(true)
  expect(transport.write('later')).toBe(true)
})

test('bytes that wait when the socket is destroyed are lost without a word', async () => {
  const { near } = await connect()
  const transport = new SocketTransport(near, 1024)
  const text = 'x'.repeat(4096)
  for (let i = 0; i < 8192 && transport.write(text); i++);
  const closed = new Promise(resolve => near.once('close', resolve))
  transport.destroy()
  await closed
  expect(transport.writableLength).toBe(0)
})

test.skipIf(!direct)('a request that libuv still has is not written with again, though none of its bytes waits any more', async () => {
  const { near } = await connect()
  const transport = new SocketTransport(near, 1024)
  const text = 'x'.repeat(4096)
  for (let i = 0; i < 8192 && transport.write(text); i++);
  const real = (near as unknown as { _handle: { writeLatin1String(request: object, text: string): number } })._handle
  let again = 0
  // As where the peer reads between the two calls with which libuv writes: all is written, and the request is told of it later.
  class TCP {
    readonly writeQueueSize = 0
    writeLatin1String(request: { getAsyncId(): number }, data: string): number {
      if (request.getAsyncId() === -1) return real.writeLatin1String(request, data)
      again++
      return 0
    }
  }
  const socket = { _handle: new TCP(), writableLength: 0, writableCorked: 0, destroyed: true } as unknown as Socket
  const writers = [DirectWriter.of(socket)!, DirectWriter.of(socket)!]
  for (const writer of writers) expect(writer.write('more', 1024)).toBe(true)
  expect(again, 'requests used twice, at which Node aborts').toBe(0)
  expect(writers.map(writer => writer.takes(1))).toEqual([false, false])
})

test.skipIf(!direct)('is not for what waits behind bytes of the socket, nor for bulk', async () => {
  const { near } = await connect()
  const writer = DirectWriter.of(near)!
  expect([writer.takes(100), writer.takes(100_000)]).toEqual([true, false])
  near.cork()
  expect(writer.takes(100)).toBe(false)
  near.write('x')
  near.uncork()
  near.destroy()
  expect(writer.takes(100)).toBe(false)
})
