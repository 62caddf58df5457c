// Tasks as CTS's API shows them. Called by status-api.ts. Pure; the names of the fields are CTS's, what is ours stands beside them.
import type { Condition, TaskConfig } from '../config/sync-config.js'
import type { TaskEvent, TaskStatus } from '../tasks/task-event.js'
import type { TaskRunner } from '../tasks/task-runner.js'

const STATUSES: readonly TaskStatus[] = ['successful', 'errored', 'critical', 'unknown']

export function overallStatus(tasks: readonly TaskRunner[], isEnabled: (task: TaskRunner) => boolean): object {
  const count = (holds: (task: TaskRunner) => boolean): number => tasks.filter(holds).length
  return {
    task_summary: {
      status: Object.fromEntries(STATUSES.map(status => [status, count(task => task.status === status)])),
      enabled: { true: count(isEnabled), false: count(task => !isEnabled(task)) },
    },
  }
}

export function taskStatus(task: TaskRunner, isEnabled: boolean, withEvents: boolean): object {
  const { config, events, problem, status } = task
  return {
    task_name: config.name,
    status,
    enabled: isEnabled,
    providers: config.driver.kind === 'terraform' ? config.driver.providers : [],
    services: servicesOf(config.condition),
    events_url: events.length === 0 ? '' : `/v1/status/tasks/${config.name}?include=events`,
    driver: config.driver.kind,
    problem,
    ...(withEvents ? { events: events.map(event => shownEvent(config.name, event)) } : {}),
  }
}

function servicesOf(condition: Condition | null): readonly string[] {
  return condition?.kind === 'services' ? condition.names : []
}

function shownEvent(name: string, event: TaskEvent): object {
  const { id, success, startTime, endTime, error, output, summary, trigger, attempts, changed, rolledBack } = event
  return {
    id,
    success,
    start_time: startTime,
    end_time: endTime,
    task_name: name,
    error: success ? null : { message: error },
    trigger,
    attempts,
    changed,
    rolled_back: rolledBack,
    summary,
    output,
  }
}

/** As it was configured, with what was left to defaults. Secrets that stand in it are not shown. */
export function shownTask({ name, description, source, buffer }: TaskConfig, isEnabled: boolean): object {
  const { webhook: _webhook, http: _http, as3: _as3, ...safe } = source
  return {
    ...safe,
    name,
    description,
    enabled: isEnabled,
    buffer_period: buffer === null ? { enabled: false } : { enabled: true, min: `${buffer.minMs / 1000}s`, max: `${buffer.maxMs / 1000}s` },
  }
}
