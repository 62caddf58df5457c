// `/v1/outrigger/backups`: the backups of this mesh listed, made, put back; how they go.
import type { FastifyInstance } from 'fastify'
import type { Backups, MadeBackup } from '../backup/backups.js'
import type { ApiContext } from './context.js'
import { HttpError, param } from './respond.js'

export function backupRoutes(app: FastifyInstance, context: ApiContext): void {
  const backups = (): Backups => {
    if (context.backups === undefined) throw new HttpError(404, 'this control plane makes no backups (--backup-to names a place for them)')
    return context.backups
  }

  app.get('/v1/outrigger/backups', async () => {
    const list = await orFailed(backups().list())
    return list.map(({ name, atMs, index, bytes }) => ({ Name: name, At: date(atMs), Index: index, Bytes: bytes }))
  })

  app.get('/v1/outrigger/backups/status', async () => {
    const { target, schedule, keep, encrypted, running, lastMade, lastAtMs, lastFailure, failuresInARow, nextMs } = backups().status
    return {
      Target: target,
      Schedule: schedule ?? '',
      Keep: keep,
      Encrypted: encrypted,
      Running: running,
      LastAt: date(lastAtMs),
      LastMade: lastMade === undefined ? null : told(lastMade),
      LastFailure: lastFailure === undefined ? null : { At: date(lastFailure.atMs), Reason: lastFailure.reason },
      FailuresInARow: failuresInARow,
      Next: date(nextMs),
    }
  })

  app.put('/v1/outrigger/backups', async () => told(await orFailed(backups().now())))

  app.put('/v1/outrigger/backups/:name/restore', async request => ({ Restored: await orFailed(backups().restore(param(request, 'name'))) }))
}

const told = ({ name, atMs, index, bytes, seconds }: MadeBackup): object => ({
  Name: name,
  At: date(atMs),
  Index: index,
  Bytes: bytes,
  Seconds: seconds,
})

/** Null for never. */
const date = (ms: number | undefined): string | null => (ms === undefined || !Number.isFinite(ms) ? null : new Date(ms).toISOString())

async function orFailed<T>(task: Promise<T>): Promise<T> {
  try {
    return await task
  } catch (error) {
    throw new HttpError(500, (error as Error).message)
  }
}
