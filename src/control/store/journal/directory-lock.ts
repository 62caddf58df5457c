// One process at a time has a data directory: it listens on a unix socket in it, which the kernel closes with the process, however that
// ends. Held by `JournalStore` from its opening to its end.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'

const LOCK = 'lock'
/** A unix socket's path has room for no more. */
const MAX_SOCKET_PATH_BYTES = 100

export class DirectoryLock {
  private constructor(
    private readonly server: Server,
    private readonly release: () => Promise<void>,
  ) {}

  /** Rejects with "another process has it open" while one has. */
  static async take(dir: string): Promise<DirectoryLock> {
    const short = await shortPath(dir)
    const path = join(short.path, LOCK)
    // Bound under a name of its own and then linked, which fails where a lock is already: no two can have it, however they meet.
    const own = join(short.path, `${LOCK}.${randomUUID().slice(0, 8)}`)
    const server = createServer(socket => socket.destroy())
    server.unref()
    try {
      await listen(server, own)
      for (let attempt = 0; ; attempt++) {
        try {
          await link(own, path)
          await rm(own)
          break
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        }
        if ((await answers(path)) || attempt > 0) throw new Error('another process has it open')
        await clearStale(path, own)
      }
    } catch (error) {
      server.close()
      await short.close()
      throw error
    }
    return new DirectoryLock(server, async () => {
      await rm(path, { force: true })
      await short.close()
    })
  }

  async close(): Promise<void> {
    await this.release()
    await new Promise(resolve => this.server.close(resolve))
  }
}

/** Of a process that is gone. Taken aside first and looked at again, because a new one may have come in its place meanwhile. */
async function clearStale(path: string, own: string): Promise<void> {
  const aside = `${own}.stale`
  await rename(path, aside).catch(() => {})
  if (await answers(aside)) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** The directory under a name that leaves room for the socket's own. */
async function shortPath(dir: string): Promise<{ path: string; close(): Promise<void> }> {
  if (Buffer.byteLength(dir) + LOCK.length + 40 <= MAX_SOCKET_PATH_BYTES || !existsSync('/proc/self/fd'))
    return { path: dir, close: async () => {} }
  const handle = await open(dir)
  return { path: `/proc/self/fd/${handle.fd}`, close: () => handle.close() }
}
