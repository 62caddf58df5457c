// One task of a configuration, as a file or the API gives it: CTS's `task` block. Called by read-sync-config.ts and the status API.
// Invariant: `condition` and `module_input` have one kind a block; a condition that nothing can satisfy is refused here.
import { RE2JS } from 're2js'
import { CronSchedule } from '../../io/cron.js'
import { type ConfigFields, isPlain } from './config-fields.js'
import { type DriverReading, readDriver } from './read-drivers.js'
import type { BufferPeriod, Condition, DataSource, NameSelection, TaskConfig } from './sync-config.js'

const NAME = /^[A-Za-z][\w-]*$/
const MAX_NAME = 128
const MAX_NAMES = 256
/** CTS's. */
const BUFFER: BufferPeriod = { minMs: 5_000, maxMs: 20_000 }
const MAX_BUFFER_MS = 86_400_000
const KINDS = ['services', 'catalog-services', 'consul-kv', 'schedule', 'intentions'] as const
const ENTERPRISE = 'is Consul Enterprise'

export function readTask(task: ConfigFields, buffer: BufferPeriod | null, reading: DriverReading): TaskConfig | undefined {
  const { length } = task.notes.problems
  const name = task.needed('name')
  if (name !== '' && (!NAME.test(name) || name.length > MAX_NAME))
    task.problem('name', `must be letters, digits, "_" and "-", begin with a letter, and have ${MAX_NAME} at most`)
  const driver = readDriver(task, reading)
  const condition = readCondition(task)
  const inputs = task.objects('module_input').flatMap(block => readSources(block))
  task.refused('source_input', 'is named module_input since CTS 0.7')
  task.refused('services', 'is a condition "services" since CTS 0.7')
  task.refused('source', 'is named module since CTS 0.5')
  task.refused('terraform_cloud_workspace', 'is of HCP Terraform alone')
  task.refused('terraform_version', 'is of HCP Terraform alone')
  if (driver?.kind === 'terraform' && condition === null) task.problem('condition', 'is needed for a module')
  if (driver !== undefined && driver.kind !== 'terraform')
    for (const field of ['version', 'providers', 'variable_files', 'variables']) task.refused(field, 'is for a module alone')
  if (driver !== undefined && driver.kind !== 'template') task.refused('reload', 'is for templates alone')
  if (condition?.kind === 'schedule' && task.has('buffer_period')) task.problem('buffer_period', 'has no meaning with a schedule')
  const description = task.text('description', '')
  const enabled = task.flag('enabled', true)
  const ownBuffer = readBuffer(task, buffer)
  task.done()
  if (driver === undefined || task.notes.problems.length > length) return undefined
  return {
    name,
    description,
    enabled,
    buffer: condition?.kind === 'schedule' ? null : ownBuffer,
    condition,
    inputs,
    driver,
    source: task.all(),
  }
}

/** null: none. */
export function readBuffer(of: ConfigFields, otherwise: BufferPeriod | null): BufferPeriod | null {
  const block = of.object('buffer_period')
  if (block === undefined) return otherwise
  const base = otherwise ?? BUFFER
  const minMs = block.durationMs('min', base.minMs)
  const maxMs = block.durationMs('max', Math.max(base.maxMs, minMs * 4))
  const enabled = block.flag('enabled', true)
  if (maxMs < minMs) block.problem('max', 'must be min or more')
  if (maxMs > MAX_BUFFER_MS) block.problem('max', 'must be a day at most')
  block.done()
  return enabled ? { minMs, maxMs } : null
}

/** `{KIND: {…}}`; an empty block is none. */
function readCondition(task: ConfigFields): Condition | null {
  const block = task.object('condition')
  if (block === undefined) return null
  const kinds = block.names()
  if (kinds.length !== 1) {
    if (kinds.length > 1) task.problem('condition', 'must be one')
    return null
  }
  const kind = kindOf(block, kinds[0]!)
  if (kind === undefined) return null
  const fields = block.object(kinds[0]!)!
  if (kind !== 'schedule') return readSource(kind, fields, true)
  const text = fields.needed('cron')
  fields.done()
  try {
    return text === '' ? null : { kind, cron: new CronSchedule(text) }
  } catch (error) {
    fields.problem('cron', (error as Error).message)
    return null
  }
}

/** Several of one kind are a list. */
function readSources(block: ConfigFields): DataSource[] {
  return block.names().flatMap(name => {
    const kind = kindOf(block, name)
    if (kind === undefined) return []
    if (kind === 'schedule') {
      block.raw(name)
      block.problem(name, 'is no input')
      return []
    }
    return block.objects(name).map(fields => readSource(kind, fields, false))
  })
}

/** The API writes underscores where the files have dashes. */
function kindOf(block: ConfigFields, name: string): (typeof KINDS)[number] | undefined {
  const kind = KINDS.find(each => each === name.replaceAll('_', '-'))
  if (kind === undefined) {
    block.raw(name)
    block.problem(name, `must be one of ${KINDS.join(', ')}`)
  }
  return kind
}

function readSource(kind: Exclude<(typeof KINDS)[number], 'schedule'>, fields: ConfigFields, isCondition: boolean): DataSource {
  const datacenter = fields.text('datacenter')
  const common = {
    ...(datacenter === undefined ? {} : { datacenter }),
    isInput: isCondition ? fields.flag('use_as_module_input', true) : true,
  }
  fields.refused('namespace', ENTERPRISE)
  fields.refused('partition', ENTERPRISE)
  const source = readKind(kind, fields)
  fields.done()
  return { ...source, ...common }
}

function readKind(kind: DataSource['kind'], fields: ConfigFields): DataSource {
  switch (kind) {
    case 'services': {
      const filter = fields.text('filter')
      const tag = fields.text('tag')
      const selection = readNames(fields)
      // A filter that speaks of checks decides by itself.
      const otherwise = filter?.includes('Checks.') === true ? 'any' : 'passing'
      return {
        kind,
        ...selection,
        ...(filter === undefined ? {} : { filter }),
        ...(tag === undefined ? {} : { tag }),
        health: fields.oneOf('health', ['passing', 'any'], otherwise),
        userMeta: fields.textMap('cts_user_defined_meta'),
        isInput: true,
      }
    }
    case 'catalog-services': {
      fields.refused('source_includes_var', 'is named use_as_module_input since CTS 0.7')
      return { kind, regexp: readRegexp(fields) ?? '', nodeMeta: fields.textMap('node_meta'), isInput: true }
    }
    case 'consul-kv':
      return { kind, path: fields.needed('path'), recurse: fields.flag('recurse', false), isInput: true }
    case 'intentions': {
      const sides = ['source_services', 'destination_services'].map(name => {
        const side = fields.object(name)
        if (side === undefined) return { names: [] }
        const selection = readNames(side)
        side.done()
        return selection
      }) as [NameSelection, NameSelection]
      return { kind, sources: sides[0], destinations: sides[1], isInput: true }
    }
  }
}

function readNames(fields: ConfigFields): NameSelection {
  const names = fields.texts('names')
  const hasRegexp = fields.has('regexp')
  const regexp = hasRegexp ? readRegexp(fields) : undefined
  if (hasRegexp && fields.has('names')) fields.problem('regexp', 'and names exclude each other')
  if (!hasRegexp && names.length === 0) fields.problem('names', 'or regexp is needed')
  if (names.length > MAX_NAMES) fields.problem('names', `must be ${MAX_NAMES} at most`)
  if (names.some(name => name === '')) fields.problem('names', 'must not be empty')
  return regexp === undefined ? { names } : { names, regexp }
}

function readRegexp(fields: ConfigFields): string | undefined {
  const text = fields.text('regexp')
  if (text === undefined) return fields.problem('regexp', 'is needed')
  try {
    RE2JS.compile(text)
    return text
  } catch (error) {
    return fields.problem('regexp', `is no regular expression: ${(error as Error).message}`)
  }
}

/** `task "NAME" {…}` and `task { name = "NAME" … }`, one or several. */
export function taskBlocks(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  if (!isPlain(value) || Object.hasOwn(value, 'name')) return [value]
  return Object.entries(value).flatMap(([name, body]) => (isPlain(body) ? [{ name, ...body }] : [body]))
}
