// `/v1/operator/autopilot`: the servers that share the state, how they are, and in which zones (their redundancy zones). Shapes as Consul's; the
// configuration is kept and has no effect, since nobody here has to be voted in or out.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SERVER_RPC_PORT } from '../catalog/server-instance.js'
import { parseDuration } from '../config-entries/duration.js'
import { FieldReader } from '../config-entries/field-reader.js'
import type { ConfigError } from '../config-entries/types.js'
import type { Replica } from '../replicas/replicas.js'
import { put } from '../store/store.js'
import type { ApiContext } from './context.js'
import { bodyObject, casIndex, HttpError, joinErrors, sendIndexed } from './respond.js'

interface AutopilotConfiguration {
  readonly CleanupDeadServers: boolean
  readonly LastContactThreshold: string
  readonly MaxTrailingLogs: number
  readonly MinQuorum: number
  readonly ServerStabilizationTime: string
  readonly RedundancyZoneTag: string
  readonly DisableUpgradeMigration: boolean
  readonly UpgradeVersionTag: string
}

const DEFAULT_AUTOPILOT: AutopilotConfiguration = {
  CleanupDeadServers: true,
  LastContactThreshold: '200ms',
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: '10s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
}
const AUTOPILOT = 'autopilot'

export function autopilotRoutes(app: FastifyInstance, context: ApiContext): void {
  const { store, replicas } = context
  const startedAt = new Date().toISOString()

  app.get('/v1/operator/autopilot/configuration', () => configuration(context))
  app.put('/v1/operator/autopilot/configuration', async (request, reply) => {
    const cas = casIndex(request, 'Error parsing cas value')
    const writes = [put('meta', AUTOPILOT, readConfiguration(request))]
    const compares = cas === undefined ? [] : [{ collection: 'meta', key: AUTOPILOT, modifyIndex: cas } as const]
    const { ok } = await store.transaction(writes, compares)
    return sendIndexed(reply, store.index, ok)
  })

  const serverHealth = (replica: Replica): object => ({
    ID: replica.id,
    Name: replica.name,
    Address: `${replica.address}:${SERVER_RPC_PORT}`,
    Version: replica.version,
    LastContact: '0s',
    Healthy: true,
    LastTerm: 1,
    LastIndex: store.index,
    StableSince: startedAt,
  })
  const leads = (replica: Replica): boolean => replica.id === replicas.leader()?.id

  app.get('/v1/operator/autopilot/health', async () => ({
    Healthy: true,
    FailureTolerance: replicas.list().length - 1,
    Servers: replicas.list().map(replica => ({ ...serverHealth(replica), SerfStatus: 'alive', Leader: leads(replica), Voter: true })),
  }))
  app.get('/v1/operator/autopilot/state', async () => {
    const all = replicas.list()
    const zones = redundancyZones(all)
    return {
      Healthy: true,
      // The state is not theirs: one that is left serves the mesh.
      FailureTolerance: all.length - 1,
      OptimisticFailureTolerance: all.length - 1,
      Leader: replicas.leader()?.id ?? '',
      Voters: all.map(({ id }) => id),
      ...(Object.keys(zones).length === 0 ? {} : { RedundancyZones: zones }),
      Servers: Object.fromEntries(
        all.map(replica => [
          replica.id,
          {
            ...serverHealth(replica),
            NodeStatus: 'alive',
            Status: leads(replica) ? 'leader' : 'voter',
            NodeType: 'voter',
            ...(replica.locality === undefined ? {} : { RedundancyZone: zoneOf(replica.locality) }),
            Meta: {},
          },
        ]),
      ),
    }
  })
}

function redundancyZones(replicas: readonly Replica[]): Record<string, object> {
  const zones = new Map<string, string[]>()
  for (const { id, locality } of replicas) {
    if (locality === undefined) continue
    const zone = zoneOf(locality)
    zones.set(zone, [...(zones.get(zone) ?? []), id])
  }
  return Object.fromEntries([...zones].sort().map(([zone, ids]) => [zone, { Servers: ids, Voters: ids, FailureTolerance: ids.length - 1 }]))
}

/** The region, where no zone is said. */
const zoneOf = ({ Region, Zone }: NonNullable<Replica['locality']>): string => Zone || Region

async function configuration({ store }: ApiContext): Promise<AutopilotConfiguration & { CreateIndex: number; ModifyIndex: number }> {
  const record = await store.get('meta', AUTOPILOT)
  return {
    ...DEFAULT_AUTOPILOT,
    ...(record?.value as AutopilotConfiguration | undefined),
    CreateIndex: record?.createIndex ?? 0,
    ModifyIndex: record?.modifyIndex ?? 0,
  }
}

function readConfiguration(request: FastifyRequest): AutopilotConfiguration {
  const errors: ConfigError[] = []
  const fields = new FieldReader(bodyObject(request), '', errors)
  const duration = (name: string, fallback: string): string => {
    const text = fields.string(name, fallback) || fallback
    if (parseDuration(text) === undefined) fields.fail(name, `"${text}" is no duration`)
    return text
  }
  const configuration = {
    CleanupDeadServers: fields.boolean('CleanupDeadServers'),
    LastContactThreshold: duration('LastContactThreshold', DEFAULT_AUTOPILOT.LastContactThreshold),
    MaxTrailingLogs: fields.integer('MaxTrailingLogs', 0, Number.MAX_SAFE_INTEGER, DEFAULT_AUTOPILOT.MaxTrailingLogs),
    MinQuorum: fields.integer('MinQuorum', 0, 1_000, 0),
    ServerStabilizationTime: duration('ServerStabilizationTime', DEFAULT_AUTOPILOT.ServerStabilizationTime),
    RedundancyZoneTag: fields.string('RedundancyZoneTag'),
    DisableUpgradeMigration: fields.boolean('DisableUpgradeMigration'),
    UpgradeVersionTag: fields.string('UpgradeVersionTag'),
  }
  if (errors.length > 0) throw new HttpError(400, `Error parsing autopilot config: ${joinErrors(errors)}`)
  return configuration
}
