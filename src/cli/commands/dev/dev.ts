// `outrigger dev FILE`, or `outrigger dev --service "api=node api.js" --service "web=node web.js" --upstream web=api`: a whole mesh for developing, in
// one foreground process: the control plane in this one, a sidecar and the application of each service beside it, their logs interleaved, an
// application started anew when its files change. Ctrl-C ends all of it. Declared for program.ts.
import { ControlPlane } from '../../../control/control-plane.js'
import type { ControlLogger } from '../../../control/log-feed.js'
import { OUTRIGGER_VERSION } from '../../../sidecar/version.js'
import { type ApiFlags, apiFromFlags } from '../../command-line/api-flags.js'
import { CliError, type CommandIo } from '../../command-line/command-io.js'
import { stopSignal } from '../process-life.js'
import { type AppSpec, appEnvironment, checkProtocol, checkServiceName, parsePort, parseUpstream } from './app-spec.js'
import { type Child, Children } from './children.js'
import { DEV_PROTOCOL, type DevMesh, filesOf, readDevFile } from './dev-file.js'
import { watchFiles } from './file-watch.js'
import { MeshPlace } from './mesh-place.js'
import { PrefixedLog } from './prefixed-log.js'

export interface DevFlags {
  readonly service?: readonly string[]
  readonly upstream?: readonly string[]
  readonly port?: readonly string[]
  readonly protocol?: readonly string[]
  readonly httpAddr?: string
  readonly grpcAddr?: string
}

const OWN = 'outrigger'

export async function dev(flags: DevFlags, operands: readonly string[], io: CommandIo): Promise<void> {
  const mesh = meshOf(flags, operands, io)
  const names = mesh.apps.flatMap(({ service }) => [service, `${service}-sidecar`])
  const log = new PrefixedLog(io.draw, [OWN, ...names], io.terminal() !== undefined)
  const say = log.writer(OWN, true)
  const plane = new ControlPlane({
    httpAddr: flags.httpAddr ?? '127.0.0.1:8500',
    grpcAddr: flags.grpcAddr ?? '127.0.0.1:0',
    defaultIntentionPolicy: mesh.policy,
    sidecarChecks: true,
    version: OUTRIGGER_VERSION,
    log: problemsOnly(say),
  })
  await plane.start().catch((error: Error) => {
    throw new CliError(error.message)
  })
  const apiFlags: ApiFlags = { httpAddr: plane.httpAddress }
  const api = apiFromFlags(apiFlags, io)
  const children = new Children()
  const running: RunningApp[] = []
  const stop = stopSignal()
  try {
    for (const spec of mesh.apps)
      running.push(
        new RunningApp(
          await MeshPlace.of(spec, {
            api,
            flags: apiFlags,
            io,
            children,
            onLoopback: true,
            onSidecarOutput: log.writer(`${spec.service}-sidecar`, true),
          }),
          children,
          log.writer(spec.service),
        ),
      )
    const ready = startAll(running, mesh, plane).then(() => {
      for (const { place } of running) say(`${describe(place.spec)}\n`)
      say(`the mesh is there: control plane at http://${plane.httpAddress}, Ctrl-C ends it\n`)
    })
    ready.catch(() => {})
    const early = await Promise.race([ready.then(() => false), stop.then(() => true)])
    if (!early) await Promise.race([...running.map(({ place }) => place.sidecarLost()), stop])
  } finally {
    say('stopping\n')
    await Promise.all(running.map(app => app.stop()))
    await children.stop()
    await plane.stop()
  }
}

async function startAll(running: readonly RunningApp[], { configEntries }: DevMesh, plane: ControlPlane): Promise<void> {
  // All of them before the first sidecar: entries and upstreams name each other in any order.
  for (const { place } of running) await place.register()
  if (configEntries.length > 0) {
    const { errors } = await plane.apply({ configEntries })
    if (errors.length > 0) throw new CliError(errors.map(({ path, reason }) => `${path}: ${reason}`).join('\n'))
  }
  await Promise.all(running.map(({ place }) => place.startSidecar()))
  for (const app of running) app.start()
}

function describe({ service, port, upstreams }: AppSpec): string {
  const told = upstreams.map(upstream => `${upstream.service} at http://127.0.0.1:${upstream.port}`)
  return `${service}: the application on port ${port}${told.length === 0 ? '' : `, calls ${told.join(', ')}`}`
}

function problemsOnly(say: (text: string) => void): ControlLogger {
  const line = (fields: object, message: string): void => {
    const named = Object.entries(fields).map(([key, value]) => ` ${key}=${String(value)}`)
    say(`${message}${named.join('')}\n`)
  }
  return { debug() {}, info() {}, warn: line, error: line }
}

/** STARTED ──ends by itself──▶ ENDED ──its files change──▶ STARTED */
class RunningApp {
  readonly place: MeshPlace
  private readonly children: Children
  private readonly write: (text: string) => void
  private child: Child | undefined
  private unwatch: () => void = () => {}
  private restarting: Promise<void> = Promise.resolve()
  private stopped = false

  constructor(place: MeshPlace, children: Children, write: (text: string) => void) {
    this.place = place
    this.children = children
    this.write = write
  }

  start(): void {
    this.run()
    this.unwatch = watchFiles(
      this.place.spec.watch,
      () => {
        this.restarting = this.restarting.then(() => this.restart())
      },
      reason => this.write(`${reason}\n`),
    )
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.unwatch()
    await this.child?.stop()
    await this.place.leave()
  }

  private run(): void {
    const { spec } = this.place
    // A group of its own: a shell's child goes with the shell.
    const child = this.children.start(spec.command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...appEnvironment(spec) },
    })
    this.child = child
    for (const stream of [child.process.stdout, child.process.stderr]) stream?.setEncoding('utf8').on('data', this.write)
    child.ended.then(
      ({ code }) => {
        if (!this.stopped && this.child === child) this.write(`ended with code ${code}; starts again when its files change\n`)
      },
      (error: Error) => this.write(`${error.message}\n`),
    )
  }

  private async restart(): Promise<void> {
    if (this.stopped) return
    this.write('its files have changed: starting again\n')
    const { child } = this
    this.child = undefined
    await child?.stop()
    if (!this.stopped) this.run()
  }
}

/** From a file, or from flags. */
function meshOf(flags: DevFlags, operands: readonly string[], io: CommandIo): DevMesh {
  if (flags.service === undefined) {
    const [file, ...more] = operands
    if (file === undefined || more.length > 0) throw new CliError('name a file, or services by --service NAME="COMMAND"')
    for (const name of ['upstream', 'port', 'protocol'] as const)
      if (flags[name] !== undefined) throw new CliError(`--${name} goes with --service; a file says it itself`)
    return readDevFile(io.readText(file), file)
  }
  return { apps: appsOf(flags.service, flags, operands), configEntries: [], policy: 'allow' }
}

function appsOf(
  services: readonly string[],
  { upstream = [], port = [], protocol = [] }: DevFlags,
  operands: readonly string[],
): AppSpec[] {
  const named = services.map(text => {
    const equals = text.indexOf('=')
    return equals < 0 ? { name: text, command: '' } : { name: text.slice(0, equals), command: text.slice(equals + 1) }
  })
  const [only] = named.length === 1 ? named : []
  /** `[service=]value`, where there is one service alone. */
  const of = (texts: readonly string[], name: string, flag: string): string[] =>
    texts.flatMap(text => {
      const equals = text.indexOf('=')
      if (equals < 0 && only === undefined) throw new CliError(`${flag} "${text}": say whose, as in ${named[0]!.name}=${text}`)
      const owner = equals < 0 ? only!.name : text.slice(0, equals)
      if (!named.some(each => each.name === owner)) throw new CliError(`${flag} "${text}": no --service is named ${owner}`)
      return owner === name ? [text.slice(equals + 1)] : []
    })
  return named.map(({ name, command }) => {
    checkServiceName(name, '--service')
    if (command === '' && (only === undefined || operands.length === 0))
      throw new CliError(`--service "${name}": say how it is started, as in ${name}="node ${name}.js"`)
    if (command !== '' && operands.length > 0) throw new CliError('what stands behind -- starts a service that has no command of its own')
    return {
      service: name,
      id: name,
      command: command === '' ? operands : command,
      port:
        of(port, name, '--port')
          .map(text => parsePort(text, '--port'))
          .at(-1) ?? 0,
      upstreams: of(upstream, name, '--upstream').map(text => parseUpstream(text, '--upstream')),
      protocol:
        of(protocol, name, '--protocol')
          .map(text => checkProtocol(text, '--protocol'))
          .at(-1) ?? DEV_PROTOCOL,
      env: {},
      watch: filesOf(command === '' ? operands.join(' ') : command),
    }
  })
}
