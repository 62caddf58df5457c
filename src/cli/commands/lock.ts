// `outrigger lock PREFIX CHILD…`: runs a program while this process holds a lock (or one of n slots) in the key/value store, as Consul's command
// does: with a session that is kept alive, and given back at the end. Declared for program.ts.
// Invariant: the child is ended when the lock is lost; the session is destroyed whatever happened.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { parseDuration } from '../../control/config-entries/duration.js'
import { remote } from '../command-line/api-flags.js'
import { AnswerCode, CliError, type CommandIo } from '../command-line/command-io.js'
import type { ControlApi } from '../command-line/control-api.js'
import { stopAtOperand } from '../command-line/go-flags.js'
import { childEnd, startChild } from './run-child.js'

interface LockFlags {
  readonly n?: string
  readonly name?: string
  readonly timeout?: string
  readonly try?: string
  readonly shell?: string
  readonly passStdin?: boolean
  readonly childExitCode?: boolean
  readonly verbose?: boolean
}

/** Consul's: the child failed, with --child-exit-code. */
const CHILD_FAILED = 2
const SESSION_TTL_SECONDS = 15
const RENEW_MS = 5_000
const WAIT = '15s'
/** What Consul's own API client marks locks and semaphores with, so that the two do not mix. */
const LOCK_FLAG = '3304740253564472344'
const SEMAPHORE_FLAG = '16210313421097356768'
const KILL_AFTER_MS = 5_000

export function addLock(program: Command, io: CommandIo): void {
  const lock = program
    .command('lock')
    .description('run a program while holding a lock; a SIGTERM is handed on')
    .argument('<prefix>', 'where the lock is kept in the key/value store')
    .argument('<child...>', 'the program and its arguments')
    .option('--n <count>', 'up to so many holders at a time (default: 1)')
    .option('--name <text>', 'name of the session')
    .option('--timeout <duration>', 'the same as --try, as older versions have it')
    .option('--try <duration>', 'give up after so long (default: wait)')
    .option('--monitor-retry <n>', 'no effect: reads that fail are tried again')
    .option('--shell <bool>', 'run it by a shell (default: true)')
    .option('--pass-stdin', 'the child reads our standard input')
    .option('--child-exit-code', 'exit with 2 where the child failed')
    .option('--verbose', 'say what happens')
  remote(stopAtOperand(lock), io, (api, flags: LockFlags, [prefix, ...child]) => withLock(prefix!, child, flags, api, io))
}

async function withLock(prefix: string, words: readonly string[], flags: LockFlags, api: ControlApi, io: CommandIo): Promise<void> {
  const slots = Number(flags.n ?? 1)
  if (!Number.isInteger(slots) || slots < 1) throw new CliError(`--n "${flags.n}": must be 1 or more`)
  const giveUpMs = flags.try === undefined && flags.timeout === undefined ? undefined : durationMs((flags.try ?? flags.timeout)!)
  const say = (text: string): void => {
    if (flags.verbose === true) io.err(`${text}\n`)
  }
  const place = prefix.replace(/^\/|\/$/g, '')
  const { ID: session } = await api.putJson<{ ID: string }>('/v1/session/create', {
    Name: flags.name ?? `Consul lock for '${words.join(' ')}' at '${place}'`,
    TTL: `${SESSION_TTL_SECONDS}s`,
    Behavior: slots === 1 ? 'release' : 'delete',
  })
  const lost = new AbortController()
  const renewal = setInterval(() => {
    api.put(`/v1/session/renew/${session}`).catch((error: Error) => {
      say(`session: ${error.message}`)
      lost.abort()
    })
  }, RENEW_MS)
  try {
    const held = slots === 1 ? new Mutex(`${place}/.lock`, session, api) : new Semaphore(place, slots, session, api)
    say('Attempting lock acquisition')
    await held.acquire(giveUpMs === undefined ? undefined : Date.now() + giveUpMs)
    void held.watch(lost)
    say('Starting handler')
    const code = await runHeld(words, flags, lost.signal, say)
    const wasLost = lost.signal.aborted
    // Who watches must not take what is given back for lost.
    lost.abort()
    await held.release()
    if (wasLost) throw new CliError('the lock was lost: the child was ended')
    if (code !== 0) {
      io.err(`the child ended with exit code ${code}\n`)
      if (flags.childExitCode === true) throw new AnswerCode(CHILD_FAILED)
    }
  } finally {
    lost.abort()
    clearInterval(renewal)
    await api.put(`/v1/session/destroy/${session}`).catch(() => {})
  }
}

async function runHeld(words: readonly string[], flags: LockFlags, lost: AbortSignal, say: (text: string) => void): Promise<number> {
  const child = startChild(words, flags.shell !== 'false', {
    stdio: [flags.passStdin === true ? 'inherit' : 'ignore', 'inherit', 'inherit'],
    env: { ...process.env, CONSUL_LOCK_HELD: 'true' },
  })
  const end = (): void => {
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
  }
  const stop = (): void => {
    say('Shutdown triggered, killing child')
    end()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  lost.addEventListener('abort', end, { once: true })
  try {
    return await childEnd(child)
  } catch (error) {
    throw new CliError(`${words[0]}: ${(error as Error).message}`)
  } finally {
    lost.removeEventListener('abort', end)
    process.removeListener('SIGTERM', stop)
    process.removeListener('SIGINT', stop)
  }
}

interface Entry {
  readonly Key: string
  readonly Value: string | null
  readonly ModifyIndex: number
  readonly Session?: string
}

interface Held {
  /** Rejects where it is not had by `deadlineMs`. */
  acquire(deadlineMs: number | undefined): Promise<void>
  /** Aborts `lost` when it is held no more. */
  watch(lost: AbortController): Promise<void>
  release(): Promise<void>
}

/** One key that one session at a time may hold. */
class Mutex implements Held {
  constructor(
    private readonly key: string,
    private readonly session: string,
    private readonly api: ControlApi,
  ) {}

  async acquire(deadlineMs: number | undefined): Promise<void> {
    for (;;) {
      const { text } = await this.api.put(`${kv(this.key)}?acquire=${this.session}&flags=${LOCK_FLAG}`)
      if (text.trim() === 'true') return
      await waitFor(this.api, kv(this.key), deadlineMs)
    }
  }

  watch(lost: AbortController): Promise<void> {
    return watchHeld(this.api, kv(this.key), lost, entries => entries[0]?.Session === this.session)
  }

  async release(): Promise<void> {
    await this.api.put(`${kv(this.key)}?release=${this.session}&flags=${LOCK_FLAG}`)
  }
}

/** A key for each who waits, and one that says who holds a slot, changed by check-and-set: Consul's semaphore. */
class Semaphore implements Held {
  private readonly lockKey: string

  constructor(
    private readonly prefix: string,
    private readonly slots: number,
    private readonly session: string,
    private readonly api: ControlApi,
  ) {
    this.lockKey = `${prefix}/.lock`
  }

  async acquire(deadlineMs: number | undefined): Promise<void> {
    await this.api.put(`${kv(`${this.prefix}/${this.session}`)}?acquire=${this.session}&flags=${SEMAPHORE_FLAG}`)
    for (;;) {
      const { holders, index } = await this.read()
      if (holders.includes(this.session)) return
      if (holders.length < this.slots) {
        if (await this.write([...holders, this.session], index)) return
        continue
      }
      await waitFor(this.api, `${kv(`${this.prefix}/`)}?recurse`, deadlineMs)
    }
  }

  watch(lost: AbortController): Promise<void> {
    return watchHeld(this.api, kv(this.lockKey), lost, entries => holdersOf(entries[0]).includes(this.session))
  }

  async release(): Promise<void> {
    for (;;) {
      const { holders, index } = await this.read()
      if (!holders.includes(this.session)) return
      const rest = holders.filter(holder => holder !== this.session)
      if (await this.write(rest, index)) break
    }
    await this.api.delete(kv(`${this.prefix}/${this.session}`))
  }

  /** Holders whose keys are still held by their sessions. */
  private async read(): Promise<{ readonly holders: readonly string[]; readonly index: number }> {
    const entries = (await this.api.findJson<Entry[]>(`${kv(`${this.prefix}/`)}?recurse`)) ?? []
    const lock = entries.find(({ Key }) => Key === this.lockKey)
    if (lock !== undefined) {
      const { Limit } = JSON.parse(Buffer.from(lock.Value ?? '', 'base64').toString()) as { Limit: number }
      if (Limit !== this.slots) throw new CliError(`semaphore limit conflict (lock: ${Limit}, local: ${this.slots})`)
    }
    const live = new Set(entries.map(({ Session }) => Session))
    return { holders: holdersOf(lock).filter(holder => live.has(holder)), index: lock?.ModifyIndex ?? 0 }
  }

  private async write(holders: readonly string[], index: number): Promise<boolean> {
    const body = { Limit: this.slots, Holders: Object.fromEntries(holders.map(holder => [holder, true])) }
    const { text } = await this.api.put(`${kv(this.lockKey)}?cas=${index}&flags=${SEMAPHORE_FLAG}`, body)
    return text.trim() === 'true'
  }
}

function holdersOf(entry: Entry | undefined): string[] {
  if (entry === undefined) return []
  const { Holders } = JSON.parse(Buffer.from(entry.Value ?? '', 'base64').toString() || '{}') as { Holders?: Record<string, boolean> }
  return Object.keys(Holders ?? {})
}

/** Until what stands there changes, or some time has passed. */
async function waitFor(api: ControlApi, path: string, deadlineMs: number | undefined): Promise<void> {
  if (deadlineMs !== undefined && Date.now() >= deadlineMs)
    throw new CliError('Lock acquisition failed: it is held by another, and the time is over')
  const { index } = await readIndexed(api, path)
  const left = deadlineMs === undefined ? undefined : Math.max(1, deadlineMs - Date.now())
  const wait = left === undefined ? WAIT : `${Math.min(left, SESSION_TTL_SECONDS * 1000)}ms`
  // A lock delay refuses the next holder for a while although nobody holds it.
  await Promise.race([
    readIndexed(api, `${path}${path.includes('?') ? '&' : '?'}index=${index}&wait=${wait}`),
    sleep(Math.min(left ?? RENEW_MS, RENEW_MS)),
  ])
}

async function watchHeld(
  api: ControlApi,
  path: string,
  lost: AbortController,
  isHeld: (entries: readonly Entry[]) => boolean,
): Promise<void> {
  let index = 0
  while (!lost.signal.aborted) {
    try {
      const answer = await readIndexed(api, `${path}?index=${index}&wait=${WAIT}`, lost.signal)
      if (!isHeld(answer.entries)) lost.abort()
      index = answer.index
    } catch {
      // The session's renewal says when it is over.
      await sleep(RENEW_MS, undefined, { signal: lost.signal }).catch(() => {})
    }
  }
}

async function readIndexed(
  api: ControlApi,
  path: string,
  signal?: AbortSignal,
): Promise<{ readonly index: number; readonly entries: readonly Entry[] }> {
  const { text, index } = await api.call({
    method: 'GET',
    path,
    timeoutMs: 0,
    allowMissing: true,
    ...(signal === undefined ? {} : { signal }),
  })
  return { index, entries: text === '' ? [] : (JSON.parse(text) as Entry[]) }
}

function kv(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`
}

function durationMs(text: string): number {
  const ns = parseDuration(text)
  if (ns === undefined || ns < 0) throw new CliError(`--try "${text}": must be a duration such as 10s`)
  return ns / 1e6
}
