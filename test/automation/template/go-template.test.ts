// The corpus of templates against Go's own text/template, where Go is installed: both outcomes are the same, texts and errors.
import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { TEMPLATE_CORPUS } from '../../support/template-corpus.js'

const judge = fileURLToPath(new URL('../../support/go-template', import.meta.url))
const missing = spawnSync('go', ['version']).status === 0 ? '' : '(go is not installed)'

it.skipIf(missing !== '')(
  `what the corpus wants is what Go makes of it ${missing}`,
  () => {
    const input = JSON.stringify(TEMPLATE_CORPUS.map(({ text, data, missingKey }) => ({ text, data, missingKey })))
    const outcomes = JSON.parse(execFileSync('go', ['run', '.'], { cwd: judge, input, encoding: 'utf8', maxBuffer: 1 << 26 })) as {
      out: string
      error: string
    }[]
    const compared = TEMPLATE_CORPUS.map(({ text, want }, i) => [
      text,
      want ?? 'an error',
      outcomes[i]!.error === '' ? outcomes[i]!.out : 'an error',
      outcomes[i]!.error,
    ])
    expect(compared.filter(([, want, out]) => want !== out)).toEqual([])
  },
  120_000,
)
