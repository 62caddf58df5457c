// The part of a task that says what is done: Terraform's module, files from templates, or requests to others. Called by read-task.ts.
// Invariant: a template that does not parse is a fault of the configuration; a file that it names is read here, once.
import { isAbsolute } from 'node:path'
import type { ConfigFields } from './config-fields.js'
import type {
  As3Target,
  CommandConfig,
  DriverConfig,
  HttpTarget,
  JsonEndpoint,
  SecretText,
  TemplateFile,
  TemplateText,
  Webhook,
} from './sync-config.js'

export interface DriverReading {
  env(name: string): string | undefined
  /** Throws with one line. */
  readText(path: string): string
  /** What is wrong with a template, or undefined. */
  templateFault(template: TemplateText): string | undefined
}

const KINDS = ['module', 'template', 'webhook', 'http', 'as3'] as const
const COMMAND_TIMEOUT_MS = 30_000
const HTTP_TIMEOUT_MS = 30_000
const MAX_TIMEOUT_MS = 3_600_000
const MAX_ATTEMPTS = 20
const MAX_FILES = 100

/** Exactly one of the kinds. */
export function readDriver(task: ConfigFields, reading: DriverReading): DriverConfig | undefined {
  const given = KINDS.filter(kind => task.has(kind))
  if (given.length !== 1) {
    for (const kind of KINDS) task.raw(kind)
    return task.problem('', given.length === 0 ? `needs one of ${KINDS.join(', ')}` : `has ${given.join(' and ')}: one of them is wanted`)
  }
  switch (given[0]!) {
    case 'module':
      return {
        kind: 'terraform',
        module: task.needed('module'),
        ...optional('version', task.text('version')),
        providers: task.texts('providers'),
        variableFiles: task.texts('variable_files'),
        variables: (task.raw('variables') as Record<string, unknown> | undefined) ?? {},
      }
    case 'template': {
      const blocks = task.objects('template')
      if (blocks.length > MAX_FILES) task.problem('template', `more than ${MAX_FILES} files`)
      const files = blocks.map(block => readTemplateFile(block, reading))
      const twice = files.find((file, i) => files.findIndex(({ destination }) => destination === file.destination) !== i)
      if (twice !== undefined) task.problem('template', `two of them write ${twice.destination}`)
      return { kind: 'template', files, reload: readCommand(task, 'reload') }
    }
    case 'webhook':
      return readWebhook(task.object('webhook')!, reading)
    case 'http':
      return readJsonEndpoint(task.object('http')!, reading)
    case 'as3':
      return readAs3(task.object('as3')!, reading)
  }
}

function optional<K extends string, V>(name: K, value: V | undefined): { readonly [key in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [key in K]: V })
}

function readTemplateFile(block: ConfigFields, reading: DriverReading): TemplateFile {
  const destination = block.needed('destination')
  if (destination !== '' && !isAbsolute(destination)) block.problem('destination', 'must be an absolute path')
  const mode = block.text('mode')
  if (mode !== undefined && !/^0?[0-7]{3}$/.test(mode)) block.problem('mode', 'must be octal, such as "0644"')
  const file: TemplateFile = {
    template: readTemplate(block, reading),
    destination,
    ...optional('mode', mode === undefined ? undefined : Number.parseInt(mode, 8)),
    ...optional('owner', block.text('owner')),
    ...optional('group', block.text('group')),
    check: readCommand(block, 'check'),
    backup: block.flag('backup', false),
    createFolders: block.flag('create_dest_dirs', true),
  }
  block.done()
  return file
}

/** `source` is a file, `contents` the text itself: consul-template's names. */
function readTemplate(
  block: ConfigFields,
  reading: DriverReading,
  texts: readonly [string, string] = ['source', 'contents'],
): TemplateText {
  const [source, contents] = texts.map(name => block.text(name))
  if ((source === undefined) === (contents === undefined)) block.problem(texts[0], `one of ${texts.join(' and ')} is needed`)
  const template: TemplateText = {
    text: contents ?? readSource(block, texts[0], source, reading),
    name: source ?? block.path,
    left: block.text('left_delimiter', '{{'),
    right: block.text('right_delimiter', '}}'),
    missingKeyFails: block.flag('error_on_missing_key', false),
  }
  const fault = reading.templateFault(template)
  if (fault !== undefined) block.problem(source === undefined ? texts[1] : texts[0], fault)
  return template
}

function readSource(block: ConfigFields, name: string, path: string | undefined, reading: DriverReading): string {
  if (path === undefined) return ''
  try {
    return reading.readText(path)
  } catch (error) {
    block.problem(name, (error as Error).message)
    return ''
  }
}

/** A list of words is a program and its arguments; a text is for a shell, and says so: `check = { command = "…", shell = true }`. */
function readCommand(block: ConfigFields, name: string): CommandConfig | null {
  const value = block.raw(name)
  if (value === undefined) return null
  if (Array.isArray(value)) {
    const words = block.texts(name)
    if (words.length === 0) block.problem(name, 'must name a program')
    return { words, shell: false, timeoutMs: COMMAND_TIMEOUT_MS }
  }
  if (typeof value === 'string') {
    block.problem(name, 'must be a list of words; a text for a shell is { command = "…", shell = true }')
    return null
  }
  const fields = block.object(name)!
  const shell = fields.flag('shell', false)
  const timeoutMs = timeout(fields, 'timeout', COMMAND_TIMEOUT_MS)
  const words = shell ? [fields.needed('command')] : fields.texts('command')
  if (words.length === 0) fields.problem('command', 'must name a program')
  fields.done()
  return { words, shell, timeoutMs }
}

function timeout(fields: ConfigFields, name: string, otherwise: number): number {
  const ms = fields.durationMs(name, otherwise)
  if (ms < 1 || ms > MAX_TIMEOUT_MS) fields.problem(name, 'must be more than 0 and an hour at most')
  return ms
}

function readHttpTarget(block: ConfigFields, attempts: number): HttpTarget {
  const url = block.needed('url')
  if (url !== '' && !isHttpUrl(url)) block.problem('url', 'must be an http:// or https:// URL without user and password')
  const username = block.text('username')
  const password = readSecret(block, 'password')
  if ((username === undefined) !== (password === undefined)) block.problem('username', 'and a password go together')
  return {
    url,
    headers: block.textMap('headers'),
    attempts: block.whole('attempts', 1, MAX_ATTEMPTS, attempts),
    timeoutMs: timeout(block, 'timeout', HTTP_TIMEOUT_MS),
    ...optional('caFile', block.text('ca_file')),
    verify: block.flag('verify', true),
    ...(username === undefined || password === undefined ? {} : { basicAuth: { username, password } }),
  }
}

function isHttpUrl(text: string): boolean {
  try {
    const { protocol, username } = new URL(text)
    return (protocol === 'http:' || protocol === 'https:') && username === ''
  } catch {
    return false
  }
}

/** `NAME`, `NAME_file` or `NAME_env`. */
function readSecret(block: ConfigFields, name: string): SecretText | undefined {
  const [text, file, env] = [block.text(name), block.text(`${name}_file`), block.text(`${name}_env`)]
  if ([text, file, env].filter(each => each !== undefined).length > 1)
    block.problem(name, `one of ${name}, ${name}_file and ${name}_env is wanted`)
  if (text !== undefined) return { text }
  if (file !== undefined) return { file }
  return env === undefined ? undefined : { env }
}

function readWebhook(block: ConfigFields, reading: DriverReading): Webhook {
  const secret = readSecret(block, 'secret')
  const hasBody = block.has('body') || block.has('body_file')
  const webhook: Webhook = {
    kind: 'webhook',
    ...readHttpTarget(block, 5),
    ...optional('secret', secret),
    ...(hasBody ? { body: readTemplate(block, reading, ['body_file', 'body']) } : {}),
  }
  block.done()
  return webhook
}

function readJsonEndpoint(block: ConfigFields, reading: DriverReading): JsonEndpoint {
  const endpoint: JsonEndpoint = {
    kind: 'http',
    ...readHttpTarget(block, 5),
    method: block.oneOf('method', ['PUT', 'POST', 'PATCH'], 'PUT'),
    body: readTemplate(block, reading, ['body_file', 'body']),
    etag: block.flag('etag', true),
    contentType: block.text('content_type', 'application/json'),
    ...optional('bearerToken', readSecret(block, 'token')),
  }
  block.done()
  return endpoint
}

function readAs3(block: ConfigFields, reading: DriverReading): As3Target {
  const { basicAuth, ...target } = readHttpTarget(block, 5)
  const byToken = block.flag('token_login', true)
  const provider = block.text('login_provider', 'tmos')
  const as3: As3Target = {
    kind: 'as3',
    ...target,
    ...(basicAuth === undefined || byToken ? {} : { basicAuth }),
    login: basicAuth === undefined || !byToken ? null : { ...basicAuth, provider },
    declaration: readTemplate(block, reading, ['declaration_file', 'declaration']),
    taskTimeoutMs: timeout(block, 'task_timeout', 300_000),
  }
  block.done()
  return as3
}
