// `outrigger apply -f FILE`: writes config entries. `outrigger register -f FILE`: registers services. Called by outrigger-main.ts.
// What is refused is reported line by line with the server's reason; the rest is written, and the command fails at its end.
import { CliError, type CommandIo } from './command-io.js'
import { type ControlApi, RefusedError } from './control-api.js'
import { field, type LabelledObject, readObjects } from './documents.js'

interface Write {
  readonly label: string
  readonly name: string
  send(): Promise<readonly string[]>
}

export async function apply(files: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const writes = files.flatMap(file => readObjects(io.readText(file), file)).map(object => entryWrite(object, api))
  await sendAll(writes, 'applied', io)
}

export async function register(files: readonly string[], api: ControlApi, io: CommandIo): Promise<void> {
  const services = files.flatMap(file => readObjects(io.readText(file), file)).flatMap(unwrapServices)
  await sendAll(
    services.map(service => serviceWrite(service, api)),
    'registered',
    io,
  )
}

function entryWrite({ label, value }: LabelledObject, api: ControlApi): Write {
  const kind = field(value, 'Kind')
  if (typeof kind !== 'string') throw new CliError(`${label}: Kind: missing (a config entry is expected; services go to "register")`)
  const name = field(value, 'Name')
  return {
    label,
    name: `${kind}/${typeof name === 'string' ? name : kind === 'proxy-defaults' ? 'global' : '?'}`,
    send: async () => (await api.put('/v1/config', value)).warnings,
  }
}

function serviceWrite({ label, value }: LabelledObject, api: ControlApi): Write {
  const name = field(value, 'Name')
  if (typeof name !== 'string')
    throw new CliError(`${label}: Name: missing (a service definition is expected; config entries go to "apply")`)
  return {
    label,
    name: String(field(value, 'ID') ?? name),
    send: async () => (await api.put('/v1/agent/service/register?replace-existing-checks=true', value)).warnings,
  }
}

/** Consul's files wrap definitions in `service` or `services`; both, and bare ones, are taken. */
function unwrapServices(object: LabelledObject): LabelledObject[] {
  const { label, value } = object
  const one = field(value, 'service')
  const many = field(value, 'services')
  if (one === undefined && many === undefined) return [object]
  const wrapped = [...(one === undefined ? [] : [{ at: 'service', value: one }]), ...listOf(many, label)]
  return wrapped.map(({ at, value: definition }) => {
    if (typeof definition !== 'object' || definition === null || Array.isArray(definition))
      throw new CliError(`${label}: ${at}: must be an object`)
    return { label: `${label}: ${at}`, value: definition as Record<string, unknown> }
  })
}

function listOf(many: unknown, label: string): { readonly at: string; readonly value: unknown }[] {
  if (many === undefined) return []
  if (!Array.isArray(many)) throw new CliError(`${label}: services: must be a list`)
  return many.map((value: unknown, index) => ({ at: `services[${index}]`, value }))
}

/** Entries may need each other in any order (a splitter its protocol), so what is refused is tried again after the rest. */
async function sendAll(writes: readonly Write[], verb: string, io: CommandIo): Promise<void> {
  let pending = writes
  let refused: string[] = []
  for (let progress = true; progress && pending.length > 0; ) {
    progress = false
    refused = []
    const next: Write[] = []
    for (const write of pending) {
      try {
        const warnings = await write.send()
        progress = true
        io.out(`${verb} ${write.name}\n`)
        for (const warning of warnings) io.err(`warning: ${write.name}: ${warning}\n`)
      } catch (error) {
        // Only a refusal of the content may pass when others have been written; the rest (unreachable, no permission) won't.
        if (!(error instanceof RefusedError) || error.statusCode === 403) throw error
        next.push(write)
        refused.push(`${write.label}: ${write.name}: ${error.message}`)
      }
    }
    pending = next
  }
  if (refused.length > 0) throw new CliError(refused.join('\n'))
}
