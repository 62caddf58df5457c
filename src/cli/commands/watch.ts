// `outrigger watch -type=…`: waits for changes of what it watches, and hands each to a program on its standard input, or prints the first and
// ends. Types and forms are Consul's. Declared for program.ts. Nothing is polled: every wait is a blocking read.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { remote } from '../command-line/api-flags.js'
import { collect } from '../command-line/collect.js'
import { CliError, type CommandIo } from '../command-line/command-io.js'
import { type ControlAnswer, type ControlApi, RefusedError } from '../command-line/control-api.js'
import { stopAtOperand } from '../command-line/go-flags.js'
import { childEnd, startChild } from './run-child.js'

interface WatchFlags {
  readonly type: string
  readonly key?: string
  readonly prefix?: string
  readonly service?: string
  readonly tag?: readonly string[]
  readonly passingonly?: string
  readonly state?: string
  readonly name?: string
  readonly serviceId?: string
  readonly shell?: string
  readonly filter?: string
}

interface Watched {
  readonly path: string
  /** What the program gets of the answer; undefined = nothing to tell. */
  readonly show?: (value: unknown) => unknown
  /** By content hash, not by index. */
  readonly byHash?: boolean
}

const WAIT = '10m'
const RETRY_MS = 5_000
const MAX_RETRY_MS = 180_000

export function addWatch(program: Command, io: CommandIo): void {
  const watch = program
    .command('watch')
    .description('wait for changes; each goes to a program as JSON, or the present state is printed where none is named')
    .argument('[child...]', 'the program and its arguments')
    .requiredOption('--type <type>', 'key, keyprefix, services, nodes, service, checks, event, connect_roots, connect_leaf, agent_service')
    .option('--key <key>', 'of type key')
    .option('--prefix <prefix>', 'of type keyprefix')
    .option('--service <name>', 'of types service, checks, connect_leaf')
    .option('--service-id <id>', 'of type agent_service')
    .option('--tag <tag>', 'of type service; may be given several times', collect)
    .option('--passingonly <bool>', 'of type service: only instances that pass')
    .option('--state <state>', 'of type checks')
    .option('--name <name>', 'of type event')
    .option('--filter <expression>', 'only what it holds for')
    .option('--shell <bool>', 'run the program by a shell (default: true)')
  remote(stopAtOperand(watch), io, (api, flags: WatchFlags, child) => runWatch(flags, child, api, io))
}

async function runWatch(flags: WatchFlags, child: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const watched = watchedBy(flags)
  if (child.length === 0) {
    const { value } = await read(watched, '0', '', api)
    io.out(`${JSON.stringify(value ?? null, null, 4)}\n`)
    return
  }
  let index = '0'
  let hash = ''
  let last: string | undefined
  for (let failures = 0; ; ) {
    try {
      const answer = await read(watched, index, hash, api)
      failures = 0
      index = answer.index
      hash = answer.hash
      const text = JSON.stringify(answer.value ?? null)
      if (text === last) continue
      last = text
      await tell(child, flags, text, index, io)
    } catch (error) {
      if (error instanceof RefusedError && error.statusCode < 500) throw error
      failures++
      io.err(`outrigger: watch: ${(error as Error).message}\n`)
      await sleep(Math.min(RETRY_MS * failures * failures, MAX_RETRY_MS))
    }
  }
}

async function tell(words: readonly string[], { shell }: WatchFlags, text: string, index: string, io: CommandIo): Promise<void> {
  const child = startChild(words, shell !== 'false', {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, CONSUL_INDEX: index },
  })
  // A program that does not read is not ours to judge.
  child.stdin!.on('error', () => {})
  child.stdin!.end(`${text}\n`)
  const code = await childEnd(child).catch((error: Error) => {
    throw new CliError(`${words[0]}: ${error.message}`)
  })
  if (code !== 0) io.err(`outrigger: watch: the program ended with exit code ${code}\n`)
}

async function read(
  { path, show, byHash }: Watched,
  index: string,
  hash: string,
  api: ControlApi,
): Promise<{ readonly value: unknown; readonly index: string; readonly hash: string }> {
  const wait = byHash === true ? (hash === '' ? '' : `hash=${hash}&wait=${WAIT}`) : index === '0' ? '' : `index=${index}&wait=${WAIT}`
  const answer: ControlAnswer = await api.call({
    method: 'GET',
    path: wait === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${wait}`,
    timeoutMs: 0,
    allowMissing: true,
  })
  const value: unknown = answer.text === '' || answer.missing ? undefined : JSON.parse(answer.text)
  return { value: show === undefined || value === undefined ? value : show(value), index: answer.indexText, hash: answer.contentHash }
}

function watchedBy(flags: WatchFlags): Watched {
  const { type } = flags
  const needed = (name: 'key' | 'prefix' | 'service' | 'serviceId'): string => {
    const value = flags[name]
    if (value === undefined) throw new CliError(`--type=${type} needs --${name === 'serviceId' ? 'service-id' : name}`)
    return name === 'key' || name === 'prefix' ? value.split('/').map(encodeURIComponent).join('/') : encodeURIComponent(value)
  }
  const filtered = (path: string, more: readonly (readonly [string, string])[] = []): string => {
    const query = new URLSearchParams([
      ...more.map(pair => [...pair]),
      ...(flags.filter === undefined ? [] : [['filter', flags.filter]]),
    ] as [string, string][])
    return query.size === 0 ? path : `${path}?${query}`
  }
  switch (type) {
    case 'key':
      return { path: `/v1/kv/${needed('key')}`, show: value => (value as readonly unknown[])[0] }
    case 'keyprefix':
      return { path: `/v1/kv/${needed('prefix')}?recurse` }
    case 'services':
      return { path: filtered('/v1/catalog/services') }
    case 'nodes':
      return { path: filtered('/v1/catalog/nodes') }
    case 'service':
      return {
        path: filtered(`/v1/health/service/${needed('service')}`, [
          ...(flags.tag ?? []).map(tag => ['tag', tag] as const),
          ...(flags.passingonly === 'true' ? ([['passing', '1']] as const) : []),
        ]),
      }
    case 'checks':
      if (flags.service !== undefined && flags.state !== undefined) throw new CliError('--service and --state exclude each other')
      return {
        path: filtered(flags.service === undefined ? `/v1/health/state/${flags.state ?? 'any'}` : `/v1/health/checks/${needed('service')}`),
      }
    case 'event':
      return { path: `/v1/event/list${flags.name === undefined ? '' : `?${new URLSearchParams({ name: flags.name })}`}` }
    case 'connect_roots':
      return { path: '/v1/agent/connect/ca/roots' }
    case 'connect_leaf':
      return { path: `/v1/agent/connect/ca/leaf/${needed('service')}` }
    case 'agent_service':
      return { path: `/v1/agent/service/${needed('serviceId')}`, byHash: true }
    default:
      throw new CliError(`--type "${type}": no such type of watch`)
  }
}
