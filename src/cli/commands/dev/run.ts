// `outrigger run --service web --upstream api:9191 -- node app.js`: registers the service, starts its sidecar, waits until that serves, runs the
// application with its environment, and takes all of it back when the application ends, with its exit code. Declared for program.ts.
import { constants } from 'node:os'
import type { Command } from 'commander'
import { type ApiFlags, remote } from '../../command-line/api-flags.js'
import { collect } from '../../command-line/collect.js'
import { AnswerCode, CliError, type CommandIo } from '../../command-line/command-io.js'
import type { ControlApi } from '../../command-line/control-api.js'
import { type AppSpec, appEnvironment, checkProtocol, checkServiceName, parsePort, parseUpstream } from './app-spec.js'
import { type Child, Children } from './children.js'
import { MeshPlace } from './mesh-place.js'

interface RunFlags extends ApiFlags {
  readonly service: string
  readonly id?: string
  readonly port?: string
  readonly upstream?: readonly string[]
  readonly protocol?: string
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

export function addRun(program: Command, io: CommandIo): void {
  const command = program
    .command('run')
    .description('run an application in the mesh: registered, with a sidecar, until it ends; its exit code is ours')
    .argument('<command...>', 'the application, behind --')
    .requiredOption('--service <name>', 'the service that it is an instance of')
    .option('--id <id>', 'of its instance (default: the name of the service)')
    .option('--port <port>', 'where it listens (default: any; it is told by PORT)')
    .option('--upstream <name[:port]>', 'a service that it calls, on this port of 127.0.0.1; may be given several times', collect)
    .option('--protocol <protocol>', 'http, http2, grpc or tcp, for a service of which nothing is said yet')
  remote(command, io, (api, flags: RunFlags, words) => run(flags, words, api, io))
}

async function run(flags: RunFlags, words: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const spec = specOf(flags, words)
  const children = new Children()
  const onSidecarOutput = (text: string): void => io.err(text.replace(/^(?=.)/gm, `[${spec.id}-sidecar] `))
  const place = await MeshPlace.of(spec, { api, flags, io, children, onLoopback: false, onSidecarOutput })
  let app: Child | undefined
  let stopEarly: (code: AnswerCode) => void = () => {}
  const stopped = new Promise<never>((_resolve, reject) => {
    stopEarly = reject
  })
  stopped.catch(() => {})
  const forward = (signal: NodeJS.Signals): void => {
    if (app === undefined) stopEarly(new AnswerCode(128 + constants.signals[signal]))
    // A terminal's Ctrl-C has reached it already: it is of our group.
    else if (!(signal === 'SIGINT' && process.stdin.isTTY)) app.kill(signal)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  try {
    await Promise.race([place.register(), stopped])
    await Promise.race([place.startSidecar(), stopped])
    const told = place.spec.upstreams.map(({ service, port }) => `${service} at http://127.0.0.1:${port}`)
    io.err(`outrigger: ${spec.service} is in the mesh, port ${place.spec.port}${told.length === 0 ? '' : `, calls ${told.join(', ')}`}\n`)
    app = children.start(spec.command, { stdio: 'inherit', env: { ...process.env, ...appEnvironment(place.spec) } })
    const lost = place.sidecarLost()
    const { code } = await Promise.race([app.ended.catch((error: Error) => Promise.reject(new CliError(error.message))), lost])
    if (code !== 0) throw new AnswerCode(code)
  } finally {
    await app?.stop()
    await place.leave()
    await children.stop()
    for (const signal of FORWARDED) process.removeListener(signal, forward)
  }
}

function specOf({ service, id, port, upstream = [], protocol }: RunFlags, command: readonly string[]): AppSpec {
  if (command.length === 0) throw new CliError('name the application behind --, such as -- node app.js')
  return {
    service: checkServiceName(service, '--service'),
    id: id === undefined ? service : checkServiceName(id, '--id'),
    command,
    port: port === undefined ? 0 : parsePort(port, '--port'),
    upstreams: upstream.map(text => parseUpstream(text, '--upstream')),
    protocol: protocol === undefined ? '' : checkProtocol(protocol, '--protocol'),
    env: {},
    watch: [],
  }
}
