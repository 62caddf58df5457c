// One run of a task, as CTS's status API shows it and as the audit keeps it, and what CTS calls the state of a task. Made by task-runner.ts.
export interface TaskEvent {
  readonly id: string
  readonly success: boolean
  readonly startTime: string
  readonly endTime: string
  /** '' = none. */
  readonly error: string
  /** Of the programs that ran, bounded. */
  readonly output: string
  readonly rolledBack: boolean
  readonly changed: boolean
  readonly summary: string
  /** Why it ran: `start`, `services`, `schedule`, who asked by the API. */
  readonly trigger: string
  readonly attempts: number
}

export type TaskStatus = 'successful' | 'errored' | 'critical' | 'unknown'

/** CTS's. */
export const KEPT_EVENTS = 5

/** Of the kept runs, the latest first: one that failed behind others that did not is errored, with another failure among them critical. */
export function taskStatusOf(events: readonly Pick<TaskEvent, 'success'>[]): TaskStatus {
  const [last] = events
  if (last === undefined) return 'unknown'
  if (last.success) return 'successful'
  return events.filter(({ success }) => !success).length > 1 ? 'critical' : 'errored'
}
