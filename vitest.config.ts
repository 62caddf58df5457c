import { existsSync, readFileSync } from 'node:fs'
import { configDefaults, defineConfig } from 'vitest/config'
import { ProgressReporter } from './test/support/progress-reporter.js'
import { SlowestFirst } from './test/support/slowest-first.js'

const env = process.env
/** The file that lists what has passed already, where a run is taken up again (.ci/run). */
const passedFile = env['TEST_PASSED']
const passed = passedFile && existsSync(passedFile) ? readFileSync(passedFile, 'utf8').split('\n').filter(Boolean) : []
/** Real processes: the product's, Envoy, a compiler. */
const PROCESSES = [
  'test/integration/**/*.test.ts',
  'test/bench/**/*.test.ts',
  'test/**/envoy*.test.ts',
  'test/**/*-crash.test.ts',
  'test/{readme,package,examples}.test.ts',
]
/** What takes its time in one process: whole control planes and what talks to them, stores, keys of CAs, inputs at random. */
const PLANES = [
  'test/control/{agent,audit,http-api,peering,replicas,rollouts,store}/**/*.test.ts',
  'test/control/{control-plane,move-to-store,port-tls,vault-ca}.test.ts',
  'test/control/{config-entries/entry-fields,grpc/grpc-port}.test.ts',
  'test/{cli,embed,kubernetes,vault}/**/*.test.ts',
  'test/{automation/automation,support/linearizable,xds/server/server-model}.test.ts',
  'test/mtls/ca/**/*.test.ts',
  'test/**/{fuzz,*-fuzz,properties}.test.ts',
]
/** One process serves many files, one after the other, and has loaded the sources once: more than half of the time of most. */
const shared = { isolate: false, benchmark: { include: [] } }

export default defineConfig({
  test: {
    exclude: [...configDefaults.exclude, ...passed],
    reporters: ['default', new ProgressReporter({ passedFile, fileLimitMs: Number(env['TEST_FILE_LIMIT_S'] ?? 0) * 1000 })],
    // Far beyond what anything takes: real processes on a shared machine of two cores can be kept waiting for long.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // vitest's own second is not enough on such a machine.
    expect: { poll: { timeout: 60_000 } },
    sequence: { sequencer: SlowestFirst },
    pool: 'forks',
    // Most of an integration test is waiting for processes and timers.
    maxWorkers: 3,
    projects: [
      { extends: true, test: { ...shared, name: 'unit', include: ['test/**/*.test.ts'], exclude: [...PROCESSES, ...PLANES] } },
      { extends: true, test: { ...shared, name: 'planes', include: PLANES, exclude: PROCESSES } },
      { extends: true, test: { name: 'processes', include: PROCESSES } },
    ],
  },
})
