// Files from templates: candidates are written beside their destinations, checked, swapped in together, and the program that reads them is told.
// A check or reload that fails puts the old files back (and tells the program again). Made by drivers.ts for tasks with `template`.
//
//   render -> candidates -> checks -> swap -> reload -> done
//                             |                  | fails: old files back, reload
//                             | fails: candidates removed, nothing has changed
//
// Invariants: all files of a task change, or none; a file whose content, owner and mode are as wanted is not touched. Whoever reads files that
// were swapped in is told, by the next run of the task where this process ended in between.
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import type { CommandConfig, TemplateFile, TemplateFiles } from '../config/sync-config.js'
import type { TemplateAnswers } from '../template/catalog-functions.js'
import { Template, type TemplateWorld } from '../template/template.js'
import { type Applied, type ApplyContext, type Change, type Driver, DriverError, type Preview } from './driver.js'
import {
  type FileBefore,
  type FileOwnership,
  linkTarget,
  readBefore,
  removeLeftCandidates,
  restore,
  swapIn,
  writeCandidate,
} from './file-swap.js'
import { lookUpGroup, lookUpUser } from './owners.js'
import { MAX_OUTPUT_BYTES, runCommand } from './run-command.js'
import { textDiff } from './text-diff.js'

const MAX_SHOWN = 200

interface Rendered {
  readonly file: TemplateFile
  readonly content: Buffer
}

interface Candidate extends Rendered {
  readonly path: string
  /** What it takes the place of. */
  readonly target: string
  readonly before: FileBefore | null
}

/** Whether files were swapped in whose reader was not told for certain; outlives the process. */
export interface OwedReload {
  isOwed(): boolean
  set(isOwed: boolean): void
}

export class TemplateDriver implements Driver {
  private readonly templates: readonly { readonly file: TemplateFile; readonly template: Template }[]
  private readonly env: Readonly<Record<string, string | undefined>>

  constructor(
    private readonly config: TemplateFiles,
    world: TemplateWorld,
    env: Readonly<Record<string, string | undefined>>,
    private readonly owed: OwedReload,
  ) {
    this.env = env
    this.templates = config.files.map(file => {
      const { text, name, left, right, missingKeyFails } = file.template
      return { file, template: new Template(text, world, { name, delimiters: { left, right }, missingKeyFails }) }
    })
  }

  prepare(answers: TemplateAnswers): Change {
    const rendered = this.templates.map(({ file, template }): Rendered => ({ file, content: Buffer.from(template.render(answers)) }))
    return {
      content: rendered.map(({ file, content }) => `${file.destination}\n${content.toString()}`).join('\n'),
      preview: async () => this.preview(rendered),
      apply: context => this.apply(rendered, context),
    }
  }

  /** The program that was owed one may have gone from the configuration. */
  private get owesReload(): boolean {
    return this.config.reload !== null && this.owed.isOwed()
  }

  private preview(rendered: readonly Rendered[]): Preview {
    const diffs = rendered.map(({ file, content }) => {
      const before = readBefore(file.destination)
      const diff = textDiff(before?.content.toString() ?? '', content.toString(), file.destination)
      const owner = before !== null && !isOwned(before, ownershipOf(file)) ? `${file.destination}: owner or mode changes\n` : ''
      return diff + owner
    })
    return { changes: diffs.some(diff => diff !== ''), plan: diffs.join('') }
  }

  private async apply(rendered: readonly Rendered[], { signal }: ApplyContext): Promise<Applied> {
    const candidates: Candidate[] = []
    const output: string[] = []
    const swapped: Candidate[] = []
    try {
      for (const each of rendered) {
        const target = linkTarget(each.file.destination)
        removeLeftCandidates(target)
        const before = readBefore(target)
        const ownership = ownershipOf(each.file)
        if (before?.content.equals(each.content) === true && isOwned(before, ownership)) continue
        const path = writeCandidate(target, each.content, before, ownership, each.file.createFolders)
        candidates.push({ ...each, target, before, path })
      }
      if (candidates.length === 0 && !this.owesReload) return { changed: false, summary: 'all files are as wanted', output: '' }
      for (const { file, path } of candidates)
        if (file.check !== null) await this.run('check', file.check, path, file.destination, signal, output)
      if (signal.aborted) throw new DriverError('was stopped before anything changed')
      if (this.config.reload !== null && !this.owed.isOwed()) this.owed.set(true)
      for (const candidate of candidates) {
        const { file, path, target, before } = candidate
        const backup = `${file.destination}.bak`
        if (file.backup && before !== null) swapIn(writeCandidate(backup, before.content, null, before, false), backup)
        // Counted before: it may be in its place, and flushing its folder fail.
        swapped.push(candidate)
        swapIn(path, target)
      }
      if (this.config.reload !== null) await this.run('reload', this.config.reload, '', '', signal, output)
      if (this.owed.isOwed()) this.owed.set(false)
    } catch (error) {
      for (const { path } of candidates) rmSync(path, { force: true })
      throw swapped.length === 0 ? asDriverError(error) : await this.rollBack(swapped, asDriverError(error))
    }
    return {
      changed: true,
      summary:
        candidates.length === 0
          ? 'reloaded for files that were written before'
          : `wrote ${candidates.map(({ file }) => file.destination).join(', ')}`,
      output: output.join('\n').slice(-MAX_OUTPUT_BYTES),
      files: candidates.map(({ file, before, content }) => ({
        path: file.destination,
        before: before === null ? '' : digest(before.content),
        after: digest(content),
      })),
    }
  }

  /** `{file}` in a check is the candidate, `{destination}` where it will stand. */
  private async run(
    what: string,
    command: CommandConfig,
    file: string,
    destination: string,
    signal: AbortSignal,
    output: string[],
  ): Promise<void> {
    const { words, shell, timeoutMs } = command
    const filled = shell ? words : words.map(word => word.replaceAll('{file}', file).replaceAll('{destination}', destination))
    const env: Record<string, string> = file === '' ? {} : { OUTRIGGER_FILE: file, OUTRIGGER_DESTINATION: destination }
    const result = await runCommand({ words: filled, shell, timeoutMs, signal, env }, this.env)
    if (result.output !== '') output.push(result.output)
    if (result.failure !== '') throw new DriverError(`${what} ${result.failure}${firstLine(result.output)}`, { output: result.output })
  }

  private async rollBack(swapped: readonly Candidate[], cause: DriverError): Promise<DriverError> {
    const faults: string[] = []
    for (const { file, target, before } of swapped.toReversed())
      try {
        restore(target, before)
      } catch (error) {
        faults.push(`${file.destination}: ${(error as Error).message}`)
      }
    const output = [cause.output]
    if (this.config.reload !== null)
      // The stop that ended the change must not end its repair.
      await this.run('reload of the old files', this.config.reload, '', '', new AbortController().signal, output).then(
        () => this.owed.set(false),
        (error: Error) => faults.push(error.message),
      )
    const outcome = faults.length === 0 ? 'the old files are back' : `and going back failed: ${faults.join('; ')}`
    return new DriverError(`${cause.message}: ${outcome}`, {
      output: output.join('\n').slice(-MAX_OUTPUT_BYTES),
      rolledBack: faults.length === 0,
    })
  }
}

function ownershipOf({ mode, owner, group }: TemplateFile): FileOwnership {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(owner === undefined ? {} : { uid: lookUpUser(owner) }),
    ...(group === undefined ? {} : { gid: lookUpGroup(group) }),
  }
}

function isOwned(before: FileBefore, { mode, uid, gid }: FileOwnership): boolean {
  return (mode ?? before.mode) === before.mode && (uid ?? before.uid) === before.uid && (gid ?? before.gid) === before.gid
}

/** Of what a program has said, what fits into a message. */
function firstLine(output: string): string {
  const [line = ''] = output.split('\n')
  return line === '' ? '' : `: ${line.trim().slice(0, MAX_SHOWN)}`
}

function asDriverError(error: unknown): DriverError {
  return error instanceof DriverError ? error : new DriverError((error as Error).message)
}

function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
