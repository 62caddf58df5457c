// Many senders of bulk at once: each turn lets few of them go on, in order, and fewer while connections are being accepted.
import { afterEach, describe, expect, test } from 'vitest'
import { connectionAccepted, ReadTurn, TURN_BYTES } from '../../src/io/read-turn.js'

class FakeSocket {
  destroyed = false
  readonly _handle = {
    reading: true,
    running: true,
    readStart: (): number => {
      this._handle.running = true
      return 0
    },
    readStop: (): number => {
      this._handle.running = false
      return 0
    },
  }
  readonly turn = new ReadTurn(this)

  get rests(): boolean {
    return !this._handle.running
  }
}

const turnOver = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const made: FakeSocket[] = []

function sockets(count: number): FakeSocket[] {
  const list = Array.from({ length: count }, () => new FakeSocket())
  made.push(...list)
  return list
}

afterEach(async () => {
  while (made.some(socket => socket.rests && !socket.destroyed && socket._handle.reading)) await turnOver()
  made.length = 0
})

describe('ReadTurn', () => {
  test('a socket that has brought its share rests until the turn is over', async () => {
    const [socket] = sockets(1)
    socket!.turn.took(TURN_BYTES - 1)
    expect(socket!.rests).toBe(false)
    socket!.turn.took(1)
    expect(socket!.rests).toBe(true)
    await turnOver()
    expect(socket!.rests).toBe(false)
  })

  test('what was brought in an earlier turn does not count', async () => {
    const [socket] = sockets(1)
    socket!.turn.took(TURN_BYTES - 1)
    await turnOver()
    socket!.turn.took(1)
    expect(socket!.rests).toBe(false)
  })

  test('of many who rest a few go on in each turn, first come first served', async () => {
    const all = sockets(100)
    for (const socket of all) socket.turn.took(TURN_BYTES)
    const resting = (): boolean[] => all.map(socket => socket.rests)
    expect(resting().every(rests => rests)).toBe(true)
    await turnOver()
    const running = resting().indexOf(true)
    expect(running).toBeGreaterThan(0)
    expect(running).toBeLessThan(20)
    expect(resting().slice(running)).not.toContain(false)
    await turnOver()
    expect(resting().indexOf(true)).toBe(2 * running)
  })

  test('when all together have brought enough, each further one rests after one read', () => {
    const all = sockets(100)
    for (const socket of all) socket.turn.took(64 * 1024)
    expect(all[0]!.rests).toBe(false)
    expect(all.at(-1)!.rests).toBe(true)
  })

  test('a turn in which a connection was accepted lets one go on', async () => {
    const all = sockets(10)
    for (const socket of all) socket.turn.took(TURN_BYTES)
    connectionAccepted()
    await turnOver()
    expect(all.filter(socket => !socket.rests)).toEqual([all[0]])
  })

  test('a socket that was closed or stopped meanwhile is left alone', async () => {
    const [closed, stopped] = sockets(2)
    closed!.turn.took(TURN_BYTES)
    stopped!.turn.took(TURN_BYTES)
    closed!.destroyed = true
    stopped!._handle.reading = false
    await turnOver()
    expect(closed!.rests).toBe(true)
    expect(stopped!.rests).toBe(true)
  })
})
