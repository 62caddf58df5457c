// `outrigger sync task …`: asks the status API of a running `outrigger sync` on this machine. Declared for sync.ts.
import type { Command } from 'commander'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { ControlApi, RefusedError } from '../../command-line/control-api.js'
import { formatJson, formatTable, JSON_OPTION, printDone } from '../../command-line/print.js'
import { readObjects } from '../documents.js'

interface VerbFlags {
  readonly port?: string
  readonly json?: boolean
  readonly inspect?: boolean
}

interface TaskState {
  readonly task_name: string
  readonly status: string
  readonly enabled: boolean
  readonly driver: string
  readonly problem: string
  readonly events?: readonly { readonly end_time: string; readonly summary: string; readonly error: { readonly message: string } | null }[]
}

interface RunAnswer {
  readonly run?: { readonly changes_present: boolean; readonly summary?: string; readonly plan?: string }
  readonly inspect?: { readonly changes_present: boolean; readonly plan: string }
}

const DEFAULT_PORT = '8558'

export function addTaskVerbs(sync: Command, io: CommandIo): void {
  const task = sync.command('task').description('the tasks of an outrigger sync that runs on this machine')
  const verb = (words: string, description: string, run: (api: ControlApi, flags: VerbFlags, name: string) => Promise<void>): Command => {
    const command = task
      .command(words)
      .description(description)
      .option('--port <port>', 'of its status API (default: 8558)')
      .option(...JSON_OPTION)
    return command.action(async () => {
      const flags = command.opts<VerbFlags>()
      await run(statusApi(flags), flags, command.args[0] ?? '').catch((error: Error) => {
        throw error instanceof RefusedError ? new CliError(reasonOf(error)) : error
      })
    })
  }
  verb('list', 'what they are and how they went', async (api, { json }) => {
    const states = await api.getJson<Record<string, TaskState>>('/v1/status/tasks?include=events')
    io.out(json === true ? formatJson(states) : listed(Object.values(states)))
  })
  const enable = async (api: ControlApi, { json }: VerbFlags, name: string, enabled: boolean): Promise<void> => {
    await change(api, name, { enabled }, '')
    printDone(json, { Task: name, Enabled: enabled }, `${name}: ${enabled ? 'enabled' : 'disabled'}`, io)
  }
  verb('enable <name>', 'follow its condition again', (api, flags, name) => enable(api, flags, name, true))
  verb('disable <name>', 'follow nothing; what it has made stays', (api, flags, name) => enable(api, flags, name, false))
  verb('run <name>', 'now, whatever has changed', async (api, { inspect, json }, name) => {
    const answer = await change(api, name, {}, inspect === true ? 'inspect' : 'now')
    if (json === true) io.out(formatJson(answer))
    else if (answer.inspect !== undefined) io.out(answer.inspect.changes_present ? answer.inspect.plan : `${name}: no changes\n`)
    else io.out(`${name}: ${answer.run?.summary ?? ''}\n`)
  }).option('--inspect', 'print what it would change instead')
  verb('create <file>', 'a task that no file of the configuration has', async (api, { json }, file) => {
    const [found, more] = readObjects(io.readText(file), file)
    if (more !== undefined) throw new CliError(`${file}: one task is wanted`)
    const { task: source = found!.value } = found!.value
    const answer = await api.postJson<{ task: { name: string } }>('/v1/tasks', { task: source })
    printDone(json, answer, `${answer.task.name}: created`, io)
  })
  verb('delete <name>', 'forget it; what it has made stays', async (api, { json }, name) => {
    await api.delete(pathOf(name))
    printDone(json, { Deleted: name }, `${name}: deleted`, io)
  })
}

function statusApi({ port = DEFAULT_PORT }: VerbFlags): ControlApi {
  return new ControlApi({ address: `127.0.0.1:${port}`, subject: 'outrigger sync', hint: '--port says where its status API is' })
}

/** CTS's form of a refusal. */
function reasonOf({ message }: RefusedError): string {
  try {
    return (JSON.parse(message) as { error: { message: string } }).error.message
  } catch {
    return message
  }
}

const pathOf = (name: string): string => `/v1/tasks/${encodeURIComponent(name)}`

async function change(api: ControlApi, name: string, body: object, run: string): Promise<RunAnswer> {
  const path = run === '' ? pathOf(name) : `${pathOf(name)}?run=${run}`
  const { text } = await api.call({ method: 'PATCH', path, body: JSON.stringify(body), timeoutMs: 0 })
  return JSON.parse(text) as RunAnswer
}

function listed(states: readonly TaskState[]): string {
  const rows = states.map(({ task_name, enabled, status, driver, problem, events = [] }) => {
    const [last] = events
    return [task_name, driver, enabled ? 'on' : 'off', status, last?.end_time ?? '', problem || last?.error?.message || last?.summary || '']
  })
  return formatTable(['Task', 'Driver', 'State', 'Status', 'Last run', 'Outcome'], rows)
}
