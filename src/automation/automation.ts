// A process of `outrigger sync`: its tasks, their watches, the status API, and the lock where several of them share the work. Started by the
// command with a configuration and a client of the HTTP API. Invariant: what was started is ended by stop(), programs of tasks included.
import { join } from 'node:path'
import type { WallClock } from '../io/clock.js'
import type { ConsulApi } from './answers/consul-reads.js'
import { NO_SECRETS, type SecretReads, vaultSecrets } from './answers/secret-reads.js'
import { WatchHub } from './answers/watch-hub.js'
import { ConfigFields, type ConfigNotes } from './config/config-fields.js'
import type { DriverReading } from './config/read-drivers.js'
import { readTask } from './config/read-task.js'
import type { SyncConfig, TaskConfig } from './config/sync-config.js'
import { type DriverWorld, driverOf } from './drivers/drivers.js'
import { SessionLock } from './status/session-lock.js'
import { kvPath, SharedApplied } from './status/shared-applied.js'
import { StatusApi } from './status/status-api.js'
import { AuditLog } from './tasks/audit-log.js'
import { StateFile } from './tasks/sync-state.js'
import type { TaskEvent } from './tasks/task-event.js'
import { TaskTable } from './tasks/task-table.js'
import { Template, type TemplateWorld } from './template/template.js'

export interface AutomationOptions {
  readonly config: SyncConfig
  readonly api: ConsulApi
  readonly clock: WallClock
  readonly world: DriverWorld
  readonly onEvent: (task: string, event: TaskEvent) => void
  readonly onLeading: (isLeading: boolean) => void
  readonly onProblem: (message: string) => void
}

export interface OnceResult {
  readonly task: string
  /** '' = it went well. */
  readonly error: string
  readonly summary: string
  /** Of a dry run: what would change. */
  readonly plan: string
}

export class Automation {
  private readonly hub: WatchHub
  private readonly secrets: SecretReads
  private readonly tasks: TaskTable
  private readonly reading: DriverReading
  private api: StatusApi | undefined
  private lock: SessionLock | undefined

  /** Throws with one line: a state that can't be read, a task of the API that is none any more. */
  constructor(private readonly options: AutomationOptions) {
    const { config, api, clock, world, onEvent, onProblem } = options
    const { vault: settings } = config
    this.secrets = settings === null ? NO_SECRETS : vaultSecrets({ settings, clock, onProblem })
    this.hub = new WatchHub(api, clock, world.random, this.secrets)
    this.reading = readingOf(world)
    const state = new StateFile(join(config.workingDir, 'state.json'))
    const lockFolder = lockFolderOf(config)
    const audit = new AuditLog(join(config.workingDir, 'audit.jsonl'), config.id, () => clock.wallNow())
    this.tasks = new TaskTable({
      hub: this.hub,
      clock,
      random: world.random,
      state,
      audit,
      shared:
        lockFolder === null
          ? null
          : new SharedApplied({
              api,
              key: `${lockFolder}/applied`,
              lockKey: `${lockFolder}/leader`,
              session: () => this.lock?.heldBy ?? '',
              onProblem,
            }),
      driverOf: task => driverOf(task, config, world, state),
      onEvent,
    })
    for (const task of config.tasks) this.tasks.add(task)
    for (const [name, source] of Object.entries(state.state.created)) {
      const notes: ConfigNotes = { problems: [], warnings: [] }
      const task: TaskConfig | undefined = readTask(
        new ConfigFields(source, `task "${name}" of the API`, notes),
        config.buffer,
        this.reading,
      )
      if (task === undefined || this.tasks.get(name) !== undefined)
        onProblem(notes.problems.join('; ') || `task ${name} of the API: the configuration has one of that name`)
      else this.tasks.add(task)
    }
  }

  /** Follows everything until stop(); resolves with the address of the status API. */
  async start(): Promise<string> {
    const { config, api, clock, onLeading, onProblem } = this.options
    const { highAvailability } = config
    this.api = await StatusApi.start(
      {
        tasks: this.tasks,
        reading: this.reading,
        buffer: config.buffer,
        cluster: () =>
          this.lock === undefined
            ? null
            : { name: highAvailability!.cluster, id: config.id, isLeading: this.lock.isLeading, leader: this.lock.leader },
        health: () => '',
      },
      config.port,
    )
    const lockFolder = lockFolderOf(config)
    if (lockFolder === null || highAvailability === null) await this.tasks.lead()
    else
      this.lock = new SessionLock({
        api,
        clock,
        path: kvPath(`${lockFolder}/leader`),
        id: config.id,
        ttlMs: highAvailability.sessionTtlMs,
        onLeading: () => {
          onLeading(true)
          void this.tasks.lead()
        },
        onLost: async () => {
          onLeading(false)
          await this.tasks.yield()
        },
        onProblem,
      })
    return this.api.address
  }

  /** Each task that is on once; with `isDryRun` only what it would change. None keeps another from its turn. */
  async once(isDryRun: boolean): Promise<readonly OnceResult[]> {
    const tasks = this.tasks.all().filter(task => this.tasks.isEnabled(task))
    return await Promise.all(
      tasks.map(async (task): Promise<OnceResult> => {
        const { name } = task.config
        try {
          if (isDryRun) return { task: name, error: '', summary: '', plan: (await task.inspect()).plan }
          const { error, summary } = await task.runNow('once')
          return { task: name, error, summary, plan: '' }
        } catch (error) {
          return { task: name, error: (error as Error).message, summary: '', plan: '' }
        }
      }),
    )
  }

  async stop(): Promise<void> {
    await this.api?.stop()
    if (this.lock === undefined) await this.tasks.yield()
    else await this.lock.stop()
    this.hub.stop()
    this.secrets.close()
  }
}

/** Where those who share the work keep what they share; null: this process is alone. */
function lockFolderOf({ highAvailability }: SyncConfig): string | null {
  return highAvailability === null ? null : `${highAvailability.parentPath}/${highAvailability.cluster}`
}

export function readingOf(world: TemplateWorld): DriverReading {
  return {
    env: name => world.env(name),
    readText: path => world.readFile(path),
    templateFault: ({ text, name, left, right }) => {
      try {
        new Template(text, world, { name, delimiters: { left, right } })
        return undefined
      } catch (error) {
        return (error as Error).message
      }
    },
  }
}
