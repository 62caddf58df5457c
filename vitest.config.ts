import { existsSync, readFileSync } from 'node:fs'
import { configDefaults, defineConfig } from 'vitest/config'
import { ProgressReporter } from './test/support/progress-reporter.js'

const env = process.env
/** The file that lists what has passed already, where a run is taken up again (.ci/run). */
const passedFile = env['TEST_PASSED']
const passed = passedFile && existsSync(passedFile) ? readFileSync(passedFile, 'utf8').split('\n').filter(Boolean) : []

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...passed],
    reporters: ['default', new ProgressReporter({ passedFile, fileLimitMs: Number(env['TEST_FILE_LIMIT_S'] ?? 0) * 1000 })],
    // Far beyond what anything takes: real processes on a shared machine of two cores can be kept waiting for long.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    pool: 'forks',
    // Most of an integration test is waiting for processes and timers.
    maxWorkers: 3,
  },
})
