// Runs Terraform or OpenTofu for a task as CTS does: a folder with a root module of its own, a workspace by the task's name, init, plan, apply
// of that plan. Made by drivers.ts. Invariant: what is applied is the plan that was made; one that changes nothing is not applied; two
// runs of a task never overlap (the runner sees to it), and the state is never touched but by the binary.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { TaskInputs } from '../../answers/data-sources.js'
import type { TerraformSettings } from '../../config/sync-config.js'
import type { TemplateAnswers } from '../../template/catalog-functions.js'
import { Template, type TemplateWorld } from '../../template/template.js'
import { type Applied, type ApplyContext, type Change, type Driver, DriverError, type Preview } from '../driver.js'
import { type CommandResult, MAX_OUTPUT_BYTES, runCommand } from '../run-command.js'
import { type WorkspaceTask, workspaceFiles } from './workspace-files.js'

const TIMEOUT_MS = 1_800_000
/** Of `plan -detailed-exitcode`. */
const HAS_CHANGES = 2
const PLAN_FILE = 'task.tfplan'
const OWNER_ONLY = 0o600
/** Files that Terraform reads whether or not this configuration has made them. */
const OWN_VALUES = /^(?:variables|input\.\d+)\.auto\.tfvars$/

export interface TerraformContext {
  readonly task: WorkspaceTask
  readonly settings: TerraformSettings
  /** The folder of this task. */
  readonly folder: string
  readonly world: TemplateWorld
  readonly env: Readonly<Record<string, string | undefined>>
  readonly onOutput: (line: string) => void
}

export class TerraformDriver implements Driver {
  private readonly context: TerraformContext
  /** The files with which the folder was initialised last. */
  private initialised = ''

  constructor(context: TerraformContext) {
    this.context = context
  }

  prepare(answers: TemplateAnswers, inputs: TaskInputs): Change {
    const { task, world } = this.context
    const settings = renderProviders(this.context.settings, answers, world)
    const files = new Map(workspaceFiles(task, inputs, settings, process.cwd()))
    for (const [i, path] of task.module.variableFiles.entries()) files.set(`input.${i}.auto.tfvars`, world.readFile(path))
    const content = [...files].map(([name, text]) => `${name}\n${text}`).join('\n')
    return { content, preview: signal => this.preview(files, signal), apply: context => this.apply(files, context) }
  }

  private async preview(files: ReadonlyMap<string, string>, signal: AbortSignal): Promise<Preview> {
    const { hasChanges, output } = await this.plan(files, signal)
    return { changes: hasChanges, plan: `${output}\n` }
  }

  private async apply(files: ReadonlyMap<string, string>, { signal }: ApplyContext): Promise<Applied> {
    const { hasChanges, output } = await this.plan(files, signal)
    if (!hasChanges) return { changed: false, summary: 'no changes', output }
    const applied = await this.run(['apply', '-input=false', '-no-color', '-auto-approve', PLAN_FILE], signal)
    const summary = /Apply complete!.*/.exec(applied.output)?.[0] ?? 'applied'
    return { changed: true, summary, output: `${output}\n${applied.output}`.slice(-MAX_OUTPUT_BYTES) }
  }

  private async plan(
    files: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<{ readonly hasChanges: boolean; readonly output: string }> {
    this.write(files)
    await this.initialise(files, signal)
    const result = await this.run(['plan', '-input=false', '-no-color', '-detailed-exitcode', `-out=${PLAN_FILE}`], signal, [
      0,
      HAS_CHANGES,
    ])
    return { hasChanges: result.code === HAS_CHANGES, output: result.output }
  }

  /** Values may be secrets: the folder is its owner's alone. */
  private write(files: ReadonlyMap<string, string>): void {
    const { folder } = this.context
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(folder)) if (OWN_VALUES.test(name) && !files.has(name)) rmSync(join(folder, name))
    for (const [name, text] of files) {
      const path = join(folder, name)
      if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text, { mode: OWNER_ONLY })
    }
  }

  private async initialise(files: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const needs = `${files.get('main.tf')}`
    if (this.initialised === needs && existsSync(join(this.context.folder, '.terraform'))) return
    await this.run(['init', '-input=false', '-no-color', '-reconfigure'], signal)
    const { name } = this.context.task
    const selected = await this.run(['workspace', 'select', '-no-color', name], signal, [0, 1])
    if (selected.code !== 0) await this.run(['workspace', 'new', '-no-color', name], signal)
    this.initialised = needs
  }

  private async run(args: readonly string[], signal: AbortSignal, good: readonly number[] = [0]): Promise<CommandResult> {
    const { folder, settings, env, onOutput } = this.context
    const words = [binaryOf(settings.path, env), ...args]
    const result = await runCommand(
      { words, shell: false, timeoutMs: TIMEOUT_MS, signal, cwd: folder, env: { TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1' } },
      env,
    )
    if (settings.log) for (const line of result.output.split('\n')) onOutput(line)
    if (!good.includes(result.code))
      throw new DriverError(`terraform ${args[0]} ${result.failure.replace(/^.*?: /, '')}`, { output: result.output })
    return result
  }
}

/** The file, or `terraform` or `tofu` in the folder; without a path the first of both in PATH. */
function binaryOf(path: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  const folders = path === undefined ? (env['PATH'] ?? '').split(':').filter(each => each !== '') : [path]
  if (path !== undefined && existsSync(path) && statSync(path).isFile()) return resolve(path)
  for (const name of ['terraform', 'tofu'])
    for (const folder of folders) {
      const candidate = join(folder, name)
      if (existsSync(candidate)) return resolve(candidate)
    }
  throw new DriverError(`neither terraform nor tofu is in ${path ?? 'PATH'}`, { isFinal: true })
}

/** Values of `terraform_provider` may ask: `{{ env "TOKEN" }}`, `{{ key "path" }}`. */
function renderProviders(settings: TerraformSettings, answers: TemplateAnswers, world: TemplateWorld): TerraformSettings {
  const render = (value: unknown, name: string): unknown => {
    if (typeof value === 'string') return value.includes('{{') ? new Template(value, world, { name }).render(answers) : value
    if (Array.isArray(value)) return value.map(each => render(each, name))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, render(each, `${name}.${key}`)]))
  }
  const providers = Object.fromEntries(
    Object.entries(settings.providers).map(([name, blocks]) => [
      name,
      render(blocks, `terraform_provider.${name}`) as TerraformSettings['providers'][string],
    ]),
  )
  return { ...settings, providers }
}
