// Tag regexes of a bootstrap, by the real Envoy (ENVOY_BIN; without it only this file's tests are skipped): what it takes and refuses is
// what test/metrics/tag-regex.test.ts expects of ours.
import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { BAD_TAG_REGEXES, GOOD_TAG_REGEXES } from '../support/tag-regexes.js'

const envoy = process.env['ENVOY_BIN']

function validated(regexes: readonly string[]): { status: number | null; stderr: string } {
  const tags = regexes.map((regex, i) => ({ tag_name: `tag${i}`, regex }))
  const bootstrap = JSON.stringify({ stats_config: { stats_tags: tags } })
  return spawnSync(envoy!, ['--config-yaml', bootstrap, '--mode', 'validate', '-l', 'critical'], { encoding: 'utf8' })
}

describe.skipIf(envoy === undefined)('tag regexes and the real Envoy (ENVOY_BIN)', () => {
  test('takes all that we take', () => {
    expect(validated(GOOD_TAG_REGEXES)).toMatchObject({ status: 0 })
  })

  test.each(BAD_TAG_REGEXES)('refuses %s too', regex => {
    expect(validated([regex])).toMatchObject({ status: 1, stderr: expect.stringContaining('Invalid regex') })
  })
})
