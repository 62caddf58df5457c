import assert from 'node:assert'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { guardSocket, onConnectionException } from '../../src/io/socket-guard.js'

const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

/** Both ends of a connection; the server's is guarded. */
async function pair(): Promise<{ near: Socket; far: Socket; errors: Error[] }> {
  const errors: Error[] = []
  open.push(onConnectionException(error => errors.push(error)))
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const far = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [near] = (await once(server, 'connection')) as [Socket]
  guardSocket(near)
  open.push(
    () => server.close(),
    () => far.destroy(),
  )
  return { near, far, errors }
}

describe('a guarded socket', () => {
  it('whose event throws is closed, and the exception is told once', async () => {
    const { near, far, errors } = await pair()
    near.on('data', () => {
      throw new Error('boom')
    })
    near.on('error', () => {})
    far.write('x')
    far.resume()
    await once(far, 'close')
    expect(errors.map(({ message }) => message)).toEqual(['boom'])
    expect(near.destroyed).toBe(true)
  })

  it('an error event that nobody hears ends the connection alone', async () => {
    const { near, far, errors } = await pair()
    const closed = new Promise(resolve => near.once('close', resolve))
    far.resetAndDestroy()
    await closed
    expect(errors).toHaveLength(1)
  })

  it('passes every argument on, and says whether anybody heard', async () => {
    const { near } = await pair()
    const heard: unknown[][] = []
    near.on('custom', (...given) => heard.push(given))
    expect([near.emit('custom'), near.emit('custom', 1), near.emit('custom', 1, 2, 3), near.emit('nobody')]).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(heard).toEqual([[], [1], [1, 2, 3]])
  })

  it('an assert is no exception of the connection: it is thrown on', async () => {
    const { near, errors } = await pair()
    near.on('custom', () => assert.equal(1, 2))
    expect(() => near.emit('custom')).toThrow(assert.AssertionError)
    expect(errors).toEqual([])
    expect(near.destroyed).toBe(false)
  })
})
