// Terraform's files of a task, as CTS generates them; and the real binary where it is: init, workspace, plan, apply, and nothing where nothing
// changed, with a local module and the provider that is built in.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ServiceInput } from '../../../../src/automation/answers/data-sources.js'
import { hclText, hclValue } from '../../../../src/automation/drivers/terraform/hcl-writer.js'
import { TerraformDriver } from '../../../../src/automation/drivers/terraform/terraform-driver.js'
import { workspaceFiles } from '../../../../src/automation/drivers/terraform/workspace-files.js'

const binary = ['terraform', 'tofu'].find(name => spawnSync(name, ['version']).status === 0)
const DOLLAR = '$'
const settings = { log: false, requiredProviders: {}, providers: {} }
const service = (port: number): ServiceInput => ({
  id: 'api',
  name: 'api',
  kind: '',
  address: '1.2.3.4',
  port,
  meta: { quote: `a "b" ${DOLLAR}{c} %{d}` },
  tags: ['tag'],
  namespace: '',
  status: 'passing',
  node: 'worker-01',
  node_id: 'id',
  node_address: '127.0.0.1',
  node_datacenter: 'dc1',
  node_tagged_addresses: {},
  node_meta: { 'consul-version': '1.21.2' },
  cts_user_defined_meta: {},
})
const taskOf = (module: string) => ({
  name: 'test',
  description: 'a test',
  module: { kind: 'terraform' as const, module, providers: ['local'], variableFiles: [], variables: { one: 1 } },
})

describe('files', () => {
  const providers = { local: [{ attr: 'x', block: { nested: true } }] }
  const backend = { kind: 'consul', fields: { path: 'p', gzip: true } }
  const files = workspaceFiles(
    taskOf('./m'),
    { services: { 'api.worker-01.dc1': service(8080) } },
    { ...settings, providers, backend, requiredProviders: { local: { source: 'hashicorp/local' }, other: {} } },
    '/cwd',
  )

  it('main.tf calls the module with its variables', () => {
    expect(files.get('main.tf')).toContain(`terraform {
  required_providers {
    local = {
      source = "hashicorp/local"
    }
  }
  backend "consul" {
    path = "p"
    gzip = true
  }
}

provider "local" {
  attr = "x"
  block {
    nested = true
  }
}

# a test
module "test" {
  source   = "/cwd/m"
  services = var.services
  one = var.one
}
`)
  })

  it('terraform.tfvars holds the services in CTS’s form, and nothing in it is evaluated', () => {
    expect(files.get('terraform.tfvars')).toContain(`services = {
  "api.worker-01.dc1" = {
    id = "api"
    name = "api"
    kind = ""
    address = "1.2.3.4"
    port = 8080
    meta = {
      quote = "a \\"b\\" $\${c} %%{d}"
    }
    tags = ["tag"]
`)
  })

  it('values of all kinds', () => {
    expect(hclValue({ a: null, 'b c': [1, true], d: [{ e: 1 }], f: {} })).toBe(`{
  a = null
  "b c" = [1, true]
  d = [
    {
      e = 1
    },
  ]
  f = {}
}`)
    expect(hclValue({ for: 1, null: 2, format: 3 })).toBe('{\n  "for" = 1\n  "null" = 2\n  format = 3\n}')
    expect(hclText('\b\b\f\f')).toBe('"\\u0008\\u0008\\u000c\\u000c"')
    expect(hclText('\b\f\\b\u2028')).toBe('"\\u0008\\u000c\\\\b\\u2028"')
  })
})

describe.skipIf(binary === undefined)(`terraform ${binary === undefined ? '(neither terraform nor tofu is installed)' : ''}`, () => {
  let dir: string
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'outrigger-terraform-'))
    mkdirSync(join(dir, 'module'))
    writeFileSync(
      join(dir, 'module/main.tf'),
      `variable "services" { type = map(object({ name = string, port = number, meta = map(string) })) }
variable "one" { type = number }
resource "terraform_data" "services" { input = { for key, s in var.services : key => "\${s.name}:\${s.port} \${s.meta.quote}" } }
`,
    )
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  it('plans, applies what was planned, and has nothing to do then', async () => {
    const folder = join(dir, 'tasks/test')
    const driver = new TerraformDriver({
      task: { ...taskOf(join(dir, 'module')), module: { ...taskOf(join(dir, 'module')).module, providers: [] } },
      settings,
      folder,
      world: { env: () => undefined, readFile: path => readFileSync(path, 'utf8'), wallNow: () => 0 },
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
      onOutput() {},
    })
    const change = (port: number) => driver.prepare({ answer: () => [], wants() {} }, { services: { 'api.worker-01.dc1': service(port) } })
    const context = { signal: new AbortController().signal, idempotencyKey: '', trigger: '' }
    // Of a configuration that had values in files.
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'input.0.auto.tfvars'), 'gone = 1\nand no file of Terraform')
    const { changes, plan } = await change(8080).preview(context.signal)
    expect([changes, plan.includes('1 to add')]).toEqual([true, true])
    expect(await change(8080).apply(context)).toMatchObject({ changed: true, summary: expect.stringContaining('1 added') })
    const state = readFileSync(join(folder, 'terraform.tfstate.d/test/terraform.tfstate'), 'utf8')
    expect(state).toContain(`api:8080 a \\"b\\" ${DOLLAR}{c} %{d}`)
    expect(await change(8080).apply(context)).toMatchObject({ changed: false })
    expect(await change(8081).apply(context)).toMatchObject({ changed: true, summary: expect.stringContaining('1 changed') })
    expect(existsSync(join(folder, '.terraform'))).toBe(true)
  }, 120_000)
})
