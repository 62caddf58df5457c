// The programs that the examples write for, as themselves: each takes what a template made of the catalog, and refuses what is broken before
// it is in place. Skipped by name where a program is not installed.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DriverError } from '../../src/automation/drivers/driver.js'
import { TemplateDriver } from '../../src/automation/drivers/template-driver.js'

const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`
const missing = (program: string): string =>
  spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH } }).status === 0 ? '' : `(${program} is not installed)`
// nft checks against the kernel, and needs to be allowed to.
const nftMissing =
  missing('nft') || (spawnSync('nft', ['list', 'tables'], { env: { PATH } }).status === 0 ? '' : '(nft may not be used here)')

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-programs-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const instance = (node: string, port: number): object => ({
  Node: { ID: node, Node: node, Address: `10.0.0.${port % 10}`, Datacenter: 'dc1', TaggedAddresses: {}, Meta: {} },
  Service: { ID: `web-${port}`, Service: 'web', Address: '', Port: port, Tags: [], Meta: {} },
  Checks: [],
})
const answers = { answer: () => [instance('n1', 8081), instance('n2', 8082)], wants() {} }
const world = { env: () => undefined, readFile: (path: string) => readFileSync(path, 'utf8'), wallNow: () => 0 }

interface Program {
  readonly name: string
  readonly skip: string
  readonly check: readonly string[]
  readonly text: string
  readonly wanted: string
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'nginx',
    skip: missing('nginx'),
    check: ['nginx', '-t', '-q', '-c', '{file}'],
    text: `pid {{ env "DIR" }}/nginx.pid; error_log stderr; events {} http { access_log off;
upstream web { {{- range service "web" }}
  server {{ .Address }}:{{ .Port }};{{ end }}
}
server { listen 127.0.0.1:1; location / { proxy_pass http://web; } } }
`,
    wanted: 'server 10.0.0.2:8082;',
  },
  {
    name: 'haproxy',
    skip: missing('haproxy'),
    check: ['haproxy', '-c', '-q', '-f', '{file}'],
    text: `defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
frontend all
  bind 127.0.0.1:1
  default_backend web
backend web{{ range service "web" }}
  server {{ .Node }}-{{ .ID }} {{ .Address }}:{{ .Port }} check{{ end }}
`,
    wanted: 'server n1-web-8081 10.0.0.1:8081 check',
  },
  {
    name: 'keepalived',
    skip: missing('keepalived'),
    check: ['keepalived', '-t', '-f', '{file}'],
    text: `virtual_server 10.1.1.1 80 {
  delay_loop 6
  lb_algo rr
  lb_kind NAT
  protocol TCP{{ range service "web" }}
  real_server {{ .Address }} {{ .Port }} { weight 1 }{{ end }}
}
`,
    wanted: 'real_server 10.0.0.1 8081',
  },
  {
    name: 'nftables',
    skip: nftMissing,
    check: ['nft', '-c', '-f', '{file}'],
    text: `table inet outrigger_test {
  set web { type ipv4_addr . inet_service; elements = { {{ range $i, $s := service "web" }}{{ if $i }}, {{ end }}{{ .Address }} . {{ .Port }}{{ end }} } }
}
`,
    wanted: '10.0.0.1 . 8081, 10.0.0.2 . 8082',
  },
  {
    name: 'dnsmasq',
    skip: missing('dnsmasq'),
    check: ['dnsmasq', '--test', '-C', '{file}'],
    text: `{{ range service "web" }}address=/{{ .Node }}.web.internal/{{ .Address }}\n{{ end }}`,
    wanted: 'address=/n1.web.internal/10.0.0.1',
  },
]

for (const { name, skip, check, text, wanted } of PROGRAMS)
  describe.skipIf(skip !== '')(`${name} ${skip}`, () => {
    const apply = (contents: string): Promise<unknown> => {
      const template = { text: contents, name, left: '{{', right: '}}', missingKeyFails: false }
      const file = {
        template,
        destination: join(dir, name),
        check: { words: check, shell: false, timeoutMs: 30_000 },
        backup: false,
        createFolders: true,
      }
      const nothingOwed = { isOwed: () => false, set() {} }
      const driver = new TemplateDriver(
        { kind: 'template', files: [file], reload: null },
        { ...world, env: () => dir },
        { PATH },
        nothingOwed,
      )
      return driver.prepare(answers).apply({ signal: new AbortController().signal, idempotencyKey: '', trigger: '' })
    }

    it('takes what the catalog says, and refuses what is broken', async () => {
      expect(existsSync(join(dir, name))).toBe(false)
      await apply(text)
      expect(readFileSync(join(dir, name), 'utf8')).toContain(wanted)
      const error = await apply(`${text}\n}}} no configuration {{ "{" }}\n`).then(
        () => expect.fail('it was taken'),
        (failure: DriverError) => failure,
      )
      expect(error.message).toMatch(/^check \w+: exit code \d+/)
      expect(readFileSync(join(dir, name), 'utf8')).not.toContain('no configuration')
    })
  })
