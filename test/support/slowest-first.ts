// The order of the test files: those that take longest come first, for one of them that began last would keep the others' workers waiting for
// nothing. Where no earlier run is on record (CI), vitest knows files by their size alone, which says little of processes that they wait for.
// Used by vitest.config.ts; the list is from the runs of CI, what takes half a minute or more.
import { existsSync } from 'node:fs'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const SLOWEST: readonly string[] = [
  'integration/rolling-upgrade',
  'integration/demo',
  'integration/attack-differential',
  'integration/consul-dataplane',
  'integration/control-kill',
  'integration/store-kill',
  'integration/console',
  'readme',
  'integration/hot-restart',
  'integration/backups',
  'integration/xfcc-envoy',
  'integration/example-gateways',
  'package',
  'control/config-entries/entry-fields',
  'integration/command-processes',
  'integration/spire',
  'integration/peering',
  'integration/rollouts',
  'examples',
  'integration/workers',
].map(name => new URL(`../${name}.test.ts`, import.meta.url).pathname)

export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const absent = SLOWEST.filter(file => !existsSync(file))
    if (absent.length > 0) throw new Error(`slowest-first.ts names what is not there: ${absent.join(', ')}`)
    const places = new Map(SLOWEST.map((file, place) => [file, place]))
    const place = ({ moduleId }: TestSpecification): number => places.get(moduleId) ?? SLOWEST.length
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}
