// CTS's status and task API on loopback: what the tasks are and how they went; on, off, now; new ones and those that go. Started by
// automation.ts. Invariant: it listens on loopback and takes requests addressed to loopback alone, and none of a page in a browser (which could
// reach it by a name of its own, or send a form without being asked for permission); bodies are bounded; a request that changes something is in the audit with who asked.

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBoundedBody } from '../../io/bounded-body.js'
import { ConfigFields, type ConfigNotes, isPlain, type Plain } from '../config/config-fields.js'
import type { DriverReading } from '../config/read-drivers.js'
import { readTask } from '../config/read-task.js'
import type { BufferPeriod } from '../config/sync-config.js'
import type { TaskRunner } from '../tasks/task-runner.js'
import type { TaskTable } from '../tasks/task-table.js'
import { overallStatus, shownTask, taskStatus } from './status-views.js'

export interface ClusterMember {
  readonly id: string
  readonly isLeading: boolean
  readonly leader: string
}

export interface StatusApiContext {
  readonly tasks: TaskTable
  readonly reading: DriverReading
  readonly buffer: BufferPeriod | null
  /** null: this process is alone. */
  readonly cluster: () => (ClusterMember & { readonly name: string }) | null
  /** '' = healthy. */
  readonly health: () => string
}

interface Answer {
  readonly status: number
  readonly body: object
}

interface Asked {
  readonly query: URLSearchParams
  readonly body: () => Promise<Plain>
  readonly by: string
}

class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

const MAX_BODY_BYTES = 1024 * 1024
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i
const RUNS = ['inspect', 'now']

export class StatusApi {
  private readonly server: Server

  private constructor(private readonly context: StatusApiContext) {
    this.server = createServer((request, response) => void this.answer(request, response))
  }

  static async start(context: StatusApiContext, port: number): Promise<StatusApi> {
    const api = new StatusApi(context)
    await new Promise<void>((resolve, reject) => {
      api.server.once('error', reject)
      api.server.listen(port, '127.0.0.1', resolve)
    })
    return api
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  stop(): Promise<void> {
    this.server.closeAllConnections()
    return new Promise(resolve => this.server.close(() => resolve()))
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = randomUUID()
    let answer: Answer
    try {
      if (!LOOPBACK.test(request.headers.host ?? '')) throw new ApiError(403, 'this API is for loopback alone')
      if (request.headers.origin !== undefined) throw new ApiError(403, 'this API is not for pages of a browser')
      answer = await this.route(request)
    } catch (error) {
      answer = { status: error instanceof ApiError ? error.status : 500, body: { error: { message: (error as Error).message } } }
    }
    response.writeHead(answer.status, { 'Content-Type': 'application/json' })
    // Statuses are a map by name in CTS: nothing stands beside them.
    const isMap = answer.status === 200 && /^\/v1\/(status($|\/tasks)|health)/.test(request.url ?? '')
    response.end(`${JSON.stringify(isMap ? answer.body : { request_id: id, ...answer.body })}\n`)
  }

  private async route(request: IncomingMessage): Promise<Answer> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const asked: Asked = { query: searchParams, body: () => readBody(request), by: `api ${request.socket.remoteAddress ?? ''}` }
    const [version, first, second, third, ...more] = pathname.split('/').slice(1).map(decodedPart)
    const what = `${request.method} ${first}${second === undefined ? '' : `/${second === '' ? '' : second}`}`
    const name = third
    if (version !== 'v1' || more.length > 0) throw new ApiError(404, `no such path: ${pathname}`)
    const { tasks } = this.context
    if (what === 'GET health') {
      const problem = this.context.health()
      return problem === '' ? { status: 200, body: {} } : { status: 503, body: { error: { message: problem } } }
    }
    if (what === 'GET status') return { status: 200, body: overallStatus(tasks.all(), task => tasks.isEnabled(task)) }
    if (what === 'GET status/cluster') return this.cluster()
    if (what === 'GET status/tasks') return { status: 200, body: this.statuses(name, asked.query) }
    if (first !== 'tasks' || third !== undefined) throw new ApiError(404, `no such path: ${request.method} ${pathname}`)
    if (second === undefined) {
      if (request.method === 'GET')
        return { status: 200, body: { tasks: tasks.all().map(task => shownTask(task.config, tasks.isEnabled(task))) } }
      if (request.method === 'POST') return this.create(asked)
      throw new ApiError(405, `${request.method} is not allowed here`)
    }
    const task = tasks.get(second)
    if (task === undefined) throw noSuchTask(second)
    if (request.method === 'GET') return { status: 200, body: { task: shownTask(task.config, tasks.isEnabled(task)) } }
    if (request.method === 'PATCH') return this.update(task, asked)
    if (request.method === 'DELETE') {
      await tasks.delete(task, asked.by)
      return { status: 202, body: {} }
    }
    throw new ApiError(405, `${request.method} is not allowed here`)
  }

  private statuses(name: string | undefined, query: URLSearchParams): object {
    const { tasks } = this.context
    const include = query.get('include')
    if (include !== null && include !== 'events')
      throw new ApiError(400, `unsupported include parameter '${include}'. only supporting include value 'events'`)
    const wanted = query.get('status')
    if (wanted !== null && !['successful', 'errored', 'critical', 'unknown'].includes(wanted))
      throw new ApiError(400, `unsupported status parameter '${wanted}'`)
    const found = name === undefined || name === '' ? tasks.all() : tasks.all().filter(({ config }) => config.name === name)
    if (name !== undefined && name !== '' && found.length === 0) throw new ApiError(404, `no task status found for '${name}'`)
    const shown = found.filter(({ status }) => wanted === null || status === wanted)
    return Object.fromEntries(shown.map(task => [task.config.name, taskStatus(task, tasks.isEnabled(task), include === 'events')]))
  }

  private cluster(): Answer {
    const cluster = this.context.cluster()
    if (cluster === null) throw new ApiError(404, 'high availability is not configured')
    const { name, id, isLeading, leader } = cluster
    const own = { id, leader: isLeading, healthy: this.context.health() === '', service_name: 'outrigger-sync' }
    const other = leader === '' || leader === id ? [] : [{ id: leader, leader: true, healthy: true, service_name: 'outrigger-sync' }]
    return { status: 200, body: { cluster_name: name, members: [own, ...other] } }
  }

  /** `{enabled}`; `?run=now` runs it, `?run=inspect` shows what that would do and changes nothing. */
  private async update(task: TaskRunner, { query, body, by }: Asked): Promise<Answer> {
    const run = runOf(query)
    const { tasks } = this.context
    const given = await body()
    this.mustBeThere(task)
    const { enabled, ...others } = given
    const [other] = Object.keys(others)
    if (other !== undefined) throw new ApiError(400, `${other}: is no field that can be changed: enabled is`)
    if (enabled !== undefined && typeof enabled !== 'boolean') throw new ApiError(400, 'enabled: must be true or false')
    if (run === 'inspect') {
      const { changes, plan } = await task.inspect()
      return { status: 200, body: { inspect: { changes_present: changes, plan } } }
    }
    if (enabled === undefined && run === '') throw new ApiError(400, 'enabled: is needed')
    if (enabled !== undefined) await tasks.setEnabled(task, enabled, by)
    if (run === '') return { status: 200, body: {} }
    this.mustLead()
    const event = await task.runNow(by)
    if (!event.success) throw new ApiError(500, event.error)
    return { status: 200, body: { run: { changes_present: event.changed, summary: event.summary } } }
  }

  private async create({ query, body, by }: Asked): Promise<Answer> {
    const run = runOf(query)
    const { task: source } = await body()
    if (!isPlain(source)) throw new ApiError(400, 'task: is needed')
    const notes: ConfigNotes = { problems: [], warnings: [] }
    const config = readTask(new ConfigFields(source, 'task', notes), this.context.buffer, this.context.reading)
    if (config === undefined) throw new ApiError(400, notes.problems.join('; '))
    const { tasks } = this.context
    if (tasks.get(config.name) !== undefined) throw new ApiError(400, `task with name ${config.name} already exists`)
    if (tasks.isLeaving(config.name)) throw new ApiError(409, `task with name ${config.name} is still being deleted: try again`)
    if (run === 'inspect') {
      const runner = tasks.add({ ...config, enabled: false })
      try {
        const { changes, plan } = await runner.inspect()
        return { status: 200, body: { run: { changes_present: changes, plan } } }
      } finally {
        await tasks.forget(runner)
      }
    }
    this.mustLead()
    const runner = tasks.add(config)
    if (run === 'now') {
      // As in CTS: one that can't be done is not there.
      const error = await runner.runNow(by).then(
        event => event.error,
        (failure: Error) => failure.message,
      )
      if (error !== '') {
        await tasks.forget(runner)
        throw new ApiError(500, error)
      }
      this.mustBeThere(runner)
    }
    tasks.create(runner, source, by, run === 'now')
    return { status: 201, body: { task: shownTask(config, tasks.isEnabled(runner)) } }
  }

  /** Whoever waited may have been outrun by a DELETE: what is gone must not begin to run. */
  private mustBeThere(task: TaskRunner): void {
    const { name } = task.config
    if (this.context.tasks.get(name) !== task) throw noSuchTask(name)
  }

  private mustLead(): void {
    const cluster = this.context.cluster()
    if (cluster !== null && !cluster.isLeading)
      throw new ApiError(400, `this instance does not lead${cluster.leader === '' ? '' : `: ${cluster.leader} does`}`)
  }
}

function noSuchTask(name: string): ApiError {
  return new ApiError(404, `a task with the name '${name}' does not exist or has not been initialized yet`)
}

function decodedPart(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new ApiError(400, `the path has a % that stands for nothing: ${part}`)
  }
}

function runOf(query: URLSearchParams): string {
  const run = query.get('run') ?? ''
  if (run !== '' && !RUNS.includes(run))
    throw new ApiError(400, `unsupported run parameter '${run}'. only supporting run values 'inspect' and 'now'`)
  return run
}

async function readBody(request: IncomingMessage): Promise<Plain> {
  const tooLarge = (): Error => new ApiError(413, `the body is larger than ${MAX_BODY_BYTES} bytes`)
  const text = (await readBoundedBody(request, MAX_BODY_BYTES, tooLarge)).toString('utf8')
  if (text.trim() === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new ApiError(400, `the body is no JSON: ${(error as Error).message}`)
  }
  if (!isPlain(value)) throw new ApiError(400, 'the body must be an object')
  return value
}
