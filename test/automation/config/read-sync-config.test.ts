// Configurations as CTS documents them, in HCL and YAML, with our drivers beside its own; and what is refused, each by its name.
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readingOf } from '../../../src/automation/automation.js'
import type { ConfigError, Plain } from '../../../src/automation/config/config-fields.js'
import { readSyncConfig } from '../../../src/automation/config/read-sync-config.js'
import { readHcl } from '../../../src/control/hcl/read-hcl.js'

const files: Record<string, string> = { '/t/web.tmpl': '{{ range service "web" }}{{ .Port }}{{ end }}' }
const reading = readingOf({
  env: () => undefined,
  readFile: path => files[path] ?? fail(`${path}: no such file`),
  wallNow: () => 0,
})

function fail(reason: string): never {
  throw new Error(reason)
}

const read = (...given: Plain[]): ReturnType<typeof readSyncConfig> => readSyncConfig(given, 'here', reading)
const problems = (given: Plain): readonly string[] => {
  try {
    read(given)
    return []
  } catch (error) {
    return (error as ConfigError).problems
  }
}
const task = (more: object): Plain => ({ task: { name: 't', ...more } })
const template = { destination: '/etc/x', contents: 'x' }

const CTS = `
log_level   = "INFO"
port        = 8558
working_dir = "sync-tasks"
id          = "cts-01"

syslog { enabled = true }

buffer_period {
  enabled = true
  min     = "5s"
  max     = "20s"
}

consul {
  address = "localhost:8500"
  auth {}
  tls { enabled = false }
  token     = "abc"
  transport { idle_conn_timeout = "5s" }
  service_registration { enabled = false }
}

driver "terraform" {
  log  = false
  path = "/usr/local/bin"
  backend "consul" { gzip = true }
  required_providers { local = { source = "hashicorp/local" } }
}

terraform_provider "local" { x = "{{ env \\"HOME\\" }}" }

task {
  name        = "website-x"
  description = "automate services for website-x"
  module      = "./modules/x"
  version     = "1.0.0"
  enabled     = true
  providers   = ["local"]
  condition "services" {
    names      = ["web", "api"]
    datacenter = "dc1"
    filter     = "\\"tag\\" in Service.Tags"
    cts_user_defined_meta { x = "y" }
    use_as_module_input = false
  }
  module_input "consul-kv" { path = "my-key" }
  buffer_period { min = "2s" }
}

task "by-label" {
  module = "./m"
  condition "catalog-services" {
    regexp    = "^web.*"
    node_meta { key = "value" }
  }
}

task "scheduled" {
  module = "./m"
  condition "schedule" { cron = "* * * * Mon" }
  module_input "services" { regexp = "^web.*" }
  module_input "services" { names = ["x"] }
}
`

describe('CTS’s own', () => {
  const { config, warnings } = (() => {
    // A task without a label and two with one do not stand side by side in one file; CTS's own have none.
    const [first, ...labelled] = CTS.split(/(?=\ntask ")/)
    return read(readHcl(first!), readHcl(labelled.join('\n')))
  })()

  it('global options', () => {
    expect(config).toMatchObject({
      id: 'cts-01',
      logLevel: 'info',
      port: 8558,
      workingDir: 'sync-tasks',
      buffer: { minMs: 5_000, maxMs: 20_000 },
      consul: { address: 'localhost:8500', token: 'abc', verify: true },
      terraform: {
        path: '/usr/local/bin',
        backend: { kind: 'consul', fields: { gzip: true } },
        requiredProviders: { local: { source: 'hashicorp/local' } },
      },
      highAvailability: null,
    })
    expect(config.terraform.providers).toEqual({ local: [{ x: '{{ env "HOME" }}' }] })
    expect(warnings).toEqual(['consul.transport: has no effect', 'syslog: has no effect'])
  })

  it('tasks, by their names or labels', () => {
    expect(config.tasks.map(({ name }) => name)).toEqual(['website-x', 'by-label', 'scheduled'])
    expect(config.tasks[0]).toMatchObject({
      description: 'automate services for website-x',
      enabled: true,
      buffer: { minMs: 2_000, maxMs: 20_000 },
      condition: {
        kind: 'services',
        names: ['web', 'api'],
        datacenter: 'dc1',
        filter: '"tag" in Service.Tags',
        userMeta: { x: 'y' },
        health: 'passing',
        isInput: false,
      },
      inputs: [{ kind: 'consul-kv', path: 'my-key', recurse: false, isInput: true }],
      driver: { kind: 'terraform', module: './modules/x', version: '1.0.0', providers: ['local'] },
    })
    expect(config.tasks[1]!.condition).toMatchObject({ kind: 'catalog-services', regexp: '^web.*', nodeMeta: { key: 'value' } })
    expect(config.tasks[2]).toMatchObject({
      buffer: null,
      condition: { kind: 'schedule' },
      inputs: [{ regexp: '^web.*' }, { names: ['x'] }],
    })
  })
})

it('our drivers, in YAML', () => {
  const { config } = read(
    parse(`
buffer_period: {enabled: false}
high_availability: {cluster: {name: c, storage: {consul: {parent_path: a/b/, session_ttl: 20s}}}}
task:
  - name: nginx
    template:
      - source: /t/web.tmpl
        destination: /etc/nginx/web.conf
        mode: "0640"
        owner: root
        group: "0"
        check: [nginx, -t, -c, "{file}"]
        backup: true
      - {contents: x, destination: /etc/x, left_delimiter: "<<", right_delimiter: ">>"}
    reload: {command: "systemctl reload nginx || true", shell: true, timeout: 5s}
  - name: hook
    condition: {services: {regexp: ""}}
    webhook: {url: "https://example.com/hook", secret_env: HOOK, attempts: 2, timeout: 1s}
  - name: json
    http: {url: "http://127.0.0.1/x", method: PUT, body: "{}", token_file: /t, headers: {a: b}}
  - name: f5
    as3: {url: "https://f5", username: admin, password_file: /p, declaration: "{}"}
`),
  )
  expect(config.highAvailability).toEqual({ cluster: 'c', parentPath: 'a/b', sessionTtlMs: 20_000 })
  expect(config.tasks.map(({ driver, buffer }) => [driver.kind, buffer])).toEqual([
    ['template', null],
    ['webhook', null],
    ['http', null],
    ['as3', null],
  ])
  expect(config.tasks[0]!.driver).toMatchObject({
    files: [
      {
        destination: '/etc/nginx/web.conf',
        mode: 0o640,
        owner: 'root',
        group: '0',
        backup: true,
        check: { words: ['nginx', '-t', '-c', '{file}'], shell: false, timeoutMs: 30_000 },
        template: { text: files['/t/web.tmpl'] },
      },
      { destination: '/etc/x', check: null, template: { left: '<<', right: '>>' } },
    ],
    reload: { words: ['systemctl reload nginx || true'], shell: true, timeoutMs: 5_000 },
  })
  expect(config.tasks[1]!.driver).toMatchObject({ secret: { env: 'HOOK' }, attempts: 2, timeoutMs: 1_000 })
  expect(config.tasks[2]!.driver).toMatchObject({ method: 'PUT', etag: true, bearerToken: { file: '/t' }, headers: { a: 'b' } })
  expect(config.tasks[3]!.driver).toMatchObject({ login: { username: 'admin', password: { file: '/p' }, provider: 'tmos' } })
})

it.each<[string, Plain, string]>([
  ['an unknown option', { colour: 'red' }, 'colour: is no field of this block'],
  ['an unknown field of a task', task({ template, colour: 1 }), 'task "t".colour: is no field of this block'],
  [
    'an unknown field of a condition',
    task({ template, condition: { 'consul-kv': { path: 'a', x: 1 } } }),
    'task "t".condition.consul-kv.x: is no field of this block',
  ],
  [
    'an unknown condition',
    task({ template, condition: { moon: {} } }),
    'task "t".condition.moon: must be one of services, catalog-services, consul-kv, schedule, intentions',
  ],
  [
    'two conditions',
    task({ template, condition: { services: { names: ['a'] }, schedule: { cron: '* * * * *' } } }),
    'task "t".condition: must be one',
  ],
  ['no driver', task({}), 'task "t": needs one of module, template, webhook, http, as3'],
  [
    'two drivers',
    task({ template, module: 'x', condition: { services: { names: ['a'] } } }),
    'task "t": has module and template: one of them is wanted',
  ],
  ['a module without a condition', task({ module: 'x' }), 'task "t".condition: is needed for a module'],
  ['a task without a name', { task: [{ template }] }, 'task[0].name: is needed'],
  [
    'a bad name',
    { task: { name: '9', template } },
    'task "9".name: must be letters, digits, "_" and "-", begin with a letter, and have 128 at most',
  ],
  [
    'a name twice',
    {
      task: [
        { name: 'a', template },
        { name: 'a', template: { destination: '/y', contents: '' } },
      ],
    },
    'task "a": is given twice',
  ],
  [
    'a file of two tasks',
    {
      task: [
        { name: 'a', template },
        { name: 'b', template },
      ],
    },
    'task "b": /etc/x is written by task "a" too',
  ],
  [
    'names and regexp',
    task({ template, condition: { services: { names: ['a'], regexp: 'b' } } }),
    'task "t".condition.services.regexp: and names exclude each other',
  ],
  [
    'a bad regexp',
    task({ template, condition: { services: { regexp: '(' } } }),
    'task "t".condition.services.regexp: is no regular expression',
  ],
  [
    'a bad cron',
    task({ template, condition: { schedule: { cron: 'x' } } }),
    'task "t".condition.schedule.cron: has 1 fields: 5, 6 or 7 are wanted',
  ],
  [
    'a namespace',
    task({ template, condition: { services: { names: ['a'], namespace: 'x' } } }),
    'task "t".condition.services.namespace: is Consul Enterprise',
  ],
  [
    'a relative destination',
    task({ template: { destination: 'x', contents: '' } }),
    'task "t".template.destination: must be an absolute path',
  ],
  ['a bad mode', task({ template: { ...template, mode: '0999' } }), 'task "t".template.mode: must be octal, such as "0644"'],
  ['no text', task({ template: { destination: '/x' } }), 'task "t".template.source: one of source and contents is needed'],
  [
    'a template that is none',
    task({ template: { destination: '/x', contents: '{{ nope }}' } }),
    'task "t".template.contents: template: task "t".template:1: function "nope" not defined',
  ],
  [
    'a file that is not there',
    task({ template: { destination: '/x', source: '/nowhere' } }),
    'task "t".template.source: /nowhere: no such file',
  ],
  [
    'a shell without saying so',
    task({ template: { ...template, check: 'nginx -t' } }),
    'task "t".template.check: must be a list of words; a text for a shell is { command = "…", shell = true }',
  ],
  [
    'a bad URL',
    task({ webhook: { url: 'ftp://x' } }),
    'task "t".webhook.url: must be an http:// or https:// URL without user and password',
  ],
  [
    'two secrets',
    task({ webhook: { url: 'http://x', secret: 'a', secret_env: 'b' } }),
    'task "t".webhook.secret: one of secret, secret_file and secret_env is wanted',
  ],
  ['max under min', { buffer_period: { min: '5s', max: '1s' } }, 'buffer_period.max: must be min or more'],
  ['a duration that is none', { buffer_period: { min: 'soon' } }, 'buffer_period.min: must be a duration such as 10s'],
  ['a port that is none', { port: 70_000 }, 'port: must be a whole number between 0 and 65535'],
  ['a Vault without a token', { vault: { address: 'http://v' } }, 'vault.token: is needed, or vault_agent_token_file, or VAULT_TOKEN'],
  ['a Vault without an address', { vault: { token: 'x' } }, 'vault.address: is required'],
  ['a wrapped token', { vault: { address: 'http://v', token: 'x', unwrap_token: true } }, 'vault.unwrap_token: is not there'],
  ['a licence', { license_path: 'x' }, 'license_path: is of an enterprise product'],
  [
    'registration',
    { consul: { service_registration: {} } },
    'consul.service_registration.enabled: must be false: this process is not registered as a service',
  ],
  ['HCP Terraform', { driver: { 'terraform-cloud': {} } }, 'driver.terraform-cloud: is of HCP Terraform alone'],
  ['an old name', task({ template, source_input: {} }), 'task "t".source_input: is named module_input since CTS 0.7'],
])('%s is refused by name', (_, given, want) => {
  expect(problems(given).map(problem => problem.slice(0, want.length))).toContain(want)
})

it('says all at once', () => {
  expect(problems({ a: 1, b: 2, task: [{ name: 'x' }] })).toHaveLength(3)
})
