import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Far beyond what anything takes: real processes on a shared machine of two cores can be kept waiting for long.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Where CI runs beside other work, what fails once is tried again and reported as flaky; locally nothing is.
    retry: Number(process.env['TEST_RETRIES'] ?? 0),
    pool: 'forks',
    // Most of an integration test is waiting for processes and timers.
    maxWorkers: 3,
  },
})
