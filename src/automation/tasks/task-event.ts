// One run of a task, as CTS's status API shows it and as the audit keeps it. Made by task-runner.ts. Types only.
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

/** CTS's: of the last five, all failed is critical, the last failed is errored. */
export const KEPT_EVENTS = 5
