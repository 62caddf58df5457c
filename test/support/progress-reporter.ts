// What a long run of the tests says beside their results: which files have passed (a list, kept up to date in the file that TEST_PASSED
// names, so that a run that was ended, or in which something failed, can be taken up where it was), and which file and test is running
// when one takes longer than a minute. A file that runs for longer than TEST_FILE_LIMIT_S ends the run by its name: vitest itself has
// deadlines for tests and hooks, none for files. Used by vitest.config.ts; the lists are read there too.
import { appendFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

interface Running {
  sinceMs: number
  test: string
}

const SAID_EVERY_MS = 60_000

export class ProgressReporter implements Reporter {
  private readonly running = new Map<string, Running>()
  private readonly passedFile: string | undefined
  private readonly fileLimitMs: number
  private timer: NodeJS.Timeout | undefined

  /** `fileLimitMs`: 0 is no limit. */
  constructor({ passedFile, fileLimitMs = 0 }: { passedFile?: string | undefined; fileLimitMs?: number }) {
    this.passedFile = passedFile
    this.fileLimitMs = fileLimitMs
  }

  onTestRunStart(): void {
    this.timer = setInterval(() => this.look(), SAID_EVERY_MS)
    this.timer.unref()
  }

  onTestModuleStart(module: TestModule): void {
    this.running.set(nameOf(module), { sinceMs: Date.now(), test: '' })
  }

  onTestCaseReady(test: TestCase): void {
    const running = this.running.get(nameOf(test.module))
    if (running) running.test = test.fullName
  }

  onTestModuleEnd(module: TestModule): void {
    const name = nameOf(module)
    this.running.delete(name)
    if (this.passedFile && module.ok()) appendFileSync(this.passedFile, `${name}\n`)
  }

  /** An error outside of every test may be any file's: then none is called passed. */
  onTestRunEnd(_: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    clearInterval(this.timer)
    if (this.passedFile && unhandledErrors.length > 0) writeFileSync(this.passedFile, '')
  }

  private look(): void {
    const now = Date.now()
    for (const [name, { sinceMs, test }] of this.running) {
      const seconds = Math.round((now - sinceMs) / 1000)
      if (seconds * 1000 < SAID_EVERY_MS) continue
      process.stderr.write(`running for ${seconds} s: ${name}${test && ` > ${test}`}\n`)
      if (this.fileLimitMs === 0 || seconds * 1000 < this.fileLimitMs) continue
      process.stderr.write(`${name} took longer than TEST_FILE_LIMIT_S (${this.fileLimitMs / 1000} s): the run ends here\n`)
      process.exit(1)
    }
  }
}

const nameOf = (module: TestModule): string => relative(process.cwd(), module.moduleId)
