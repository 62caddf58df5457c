// `/v1/outrigger/rollouts` and `/v1/outrigger/rollout/:name`: rollouts written, read and commanded. They are not under `/v1/config`, because
// Consul's clients refuse a whole list of config entries for one kind that they don't know (docs/decisions/0014-rollouts.md).
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parseRollout } from '../rollouts/parse-rollout.js'
import { ACTIONS, type Action } from '../rollouts/rollout-engine.js'
import { stepsOf } from '../rollouts/rollout-plan.js'
import type { RolloutRecord } from '../rollouts/rollout-table.js'
import { RolloutError } from '../rollouts/rollout-writer.js'
import { isActive } from '../rollouts/transitions.js'
import type { ApiContext } from './context.js'
import { blockingRead, HttpError, joinErrors, param, query, sendIndexed, warn } from './respond.js'
import { presentedToken } from './token.js'

const MAX_REASON_CHARS = 512

export function rolloutRoutes(app: FastifyInstance, context: ApiContext): void {
  const { table, engine } = context.rollouts
  const find = (request: FastifyRequest): RolloutRecord => {
    const record = table.get(param(request, 'name'))
    if (record === undefined) throw new HttpError(404, `there is no rollout ${JSON.stringify(param(request, 'name'))}`)
    return record
  }

  app.get('/v1/outrigger/rollouts', (request, reply) => blockingRead(context, request, reply, table, () => table.list().map(summary)))

  app.get('/v1/outrigger/rollout/:name', (request, reply) => blockingRead(context, request, reply, table, () => whole(find(request))))

  app.put('/v1/outrigger/rollout/:name', async (request, reply) => {
    const parsed = parseRollout(request.body, param(request, 'name'))
    if ('errors' in parsed) {
      context.metrics.refusedWrites.inc()
      throw new HttpError(400, joinErrors(parsed.errors))
    }
    const problems = await orRefused(engine.put(parsed.rollout))
    warn(
      reply,
      problems.map(problem => `it could not be started today: ${problem}`),
    )
    return sendIndexed(reply, context.store.index, true)
  })

  app.delete('/v1/outrigger/rollout/:name', async (request, reply) => {
    await orRefused(engine.delete(param(request, 'name')))
    return sendIndexed(reply, context.store.index, true)
  })

  app.put('/v1/outrigger/rollout/:name/:action', async (request, reply) => {
    const action = param(request, 'action')
    if (!isAction(action)) throw new HttpError(404, `${JSON.stringify(action)}: must be one of ${ACTIONS.join(', ')}`)
    const reason = query(request, 'reason') ?? ''
    if (reason.length > MAX_REASON_CHARS) throw new HttpError(400, `reason: longer than ${MAX_REASON_CHARS} characters`)
    await orRefused(engine.act(find(request).rollout.Name, action, whoAsks(context, request), reason))
    return sendIndexed(reply, context.store.index, summary(find(request)))
  })
}

const isAction = (text: string): text is Action => (ACTIONS as readonly string[]).includes(text)

function whoAsks({ acl }: ApiContext, request: FastifyRequest): string {
  return acl?.resolveRequest(presentedToken(request))?.accessorId ?? ''
}

async function orRefused<T>(task: Promise<T>): Promise<T> {
  try {
    return await task
  } catch (error) {
    if (error instanceof RolloutError) throw new HttpError(error.code === 'unknown' ? 404 : 409, error.message)
    throw error
  }
}

/** A line of the list. */
function summary({ rollout, status, createIndex, modifyIndex }: RolloutRecord): object {
  return {
    Name: rollout.Name,
    Service: rollout.Service,
    From: rollout.From,
    To: rollout.To,
    Phase: status.Phase,
    Active: isActive(status.Phase),
    /** Counted from 1; 0 before the first. */
    Step: status.Step + 1,
    Steps: stepsOf(rollout).length,
    Weight: status.Weight,
    MirrorPercent: status.MirrorPercent,
    Since: date(status.Since),
    Reason: status.Reason,
    Verdict: status.Verdict,
    VerdictReason: status.VerdictReason,
    Failures: status.Failures,
    Holds: status.Holds,
    CreateIndex: createIndex,
    ModifyIndex: modifyIndex,
  }
}

function whole(record: RolloutRecord): object {
  const { rollout, status } = record
  return {
    ...summary(record),
    AcceptedAt: date(status.AcceptedAt),
    Rollout: rollout,
    Plan: stepsOf(rollout),
    Audit: status.Audit.map(({ At, ...told }) => ({ At: date(At), ...told })),
  }
}

/** Null for never. */
const date = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString())
