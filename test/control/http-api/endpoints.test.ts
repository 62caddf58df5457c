// The table of endpoints against a running control plane, and against the page that people read. UPDATE_DOCS=1 writes the page's table.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ENDPOINTS, type Endpoint } from '../../support/consul-endpoints.js'
import { ApiFixture } from './api-fixture.js'

const PAGE = new URL('../../../docs/consul-compatibility.md', import.meta.url)
const BEGIN = '<!-- endpoints -->'
const END = '<!-- /endpoints -->'
/** These answer for as long as the client listens, or end the process. */
const NOT_ASKED = new Set(['GET /v1/agent/monitor', 'GET /v1/agent/metrics/stream', 'PUT /v1/agent/leave'])

let api: ApiFixture
beforeAll(async () => {
  api = await ApiFixture.start()
})
afterAll(() => api.stop())

describe('the endpoints of Consul’s API', () => {
  it('are there, refused or absent as the table says', async () => {
    const wrong: string[] = []
    for (const { method, path, state } of ENDPOINTS) {
      if (NOT_ASKED.has(`${method} ${path}`)) continue
      const { status, body } = await api.call(method, path)
      const isUnknown = (status === 404 && String(body).includes('not a recognized HTTP API endpoint')) || status === 405
      if (isUnknown !== (state === 'absent')) wrong.push(`${method} ${path}: ${status} ${JSON.stringify(body)}`)
      if (state === 'refused' && status < 400) wrong.push(`${method} ${path}: was taken`)
    }
    expect(wrong).toEqual([])
  })

  it('are on the page as in the table', () => {
    const page = readFileSync(PAGE, 'utf8')
    const [before, rest] = page.split(BEGIN) as [string, string]
    const [, after] = rest.split(END) as [string, string]
    const wanted = `${before}${BEGIN}\n\n${table()}\n\n${END}${after}`
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, wanted)
    else expect(page).toBe(wanted)
  })
})

function table(): string {
  const rows = ENDPOINTS.map(({ method, path, state, note }: Endpoint) => `| \`${method} ${path}\` | ${state} | ${note ?? ''} |`)
  return ['| endpoint | here | |', '|---|---|---|', ...rows].join('\n')
}
