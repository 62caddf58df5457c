import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parseBootstrap } from '../../../src/xds/bootstrap.js'
it('oracle', () => {
  const out: string[] = []
  for (const f of readdirSync('/tmp/envoy/cases').sort()) {
    const r = parseBootstrap(readFileSync('/tmp/envoy/cases/' + f, 'utf8'))
    out.push(`${f}\t${r.ok ? 'OK' : 'BAD'}\t${r.ok ? r.unsupported.join(',') : r.errors.map(e => e.path + ': ' + e.reason).join(' ;; ')}`)
  }
  writeFileSync('/tmp/envoy/ours.txt', out.join('\n') + '\n')
  expect(1).toBe(1)
})
