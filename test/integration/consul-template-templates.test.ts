// Templates against consul-template itself (CONSUL_TEMPLATE_BIN, or in PATH): both render the same from one control plane.
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Template } from '../../src/automation/template/template.js'
import { ControlPlane } from '../../src/control/control-plane.js'

const bin = process.env['CONSUL_TEMPLATE_BIN'] ?? 'consul-template'
const missing = spawnSync(bin, ['-version']).status === 0 ? '' : '(CONSUL_TEMPLATE_BIN is not set)'

const TEMPLATES: readonly string[] = [
  '{{ range service "web" }}{{ .Node }} {{ .ID }} {{ .Name }} {{ .Address }}:{{ .Port }} {{ .Tags | join "," }} {{ .Status }} {{ .ServiceMeta.m }} {{ .Weights.Passing }}\n{{ end }}',
  '{{ range service "v2.web" }}{{ .ID }}{{ end }}|{{ service "nothing" | len }}|{{ range service "web|any" }}{{ .Status }} {{ end }}',
  '{{ range services }}{{ .Name }}={{ .Tags | join "+" }}\n{{ end }}',
  '{{ range $tag, $all := service "web" | byTag }}{{ $tag }}:{{ range $all }}{{ .ID }} {{ end }}{{ end }}',
  '{{ range $k, $v := service "web" | byMeta "m" }}{{ $k }}:{{ len $v }} {{ end }}{{ range $p, $v := service "web" | byPort }}{{ $p }} {{ end }}',
  '{{ key "app/a" }} {{ keyOrDefault "app/none" "x" }} {{ keyExists "app/none" }} {{ keyExists "app/a" }}',
  '{{ range ls "app" }}{{ .Key }}={{ .Value }};{{ end }}{{ range tree "app" }}{{ .Key }}={{ .Value }}:{{ .Flags }};{{ end }}',
  '{{ range $k, $v := tree "app" | byKey }}{{ $k }}:{{ range $kk, $p := $v }}{{ $kk }}={{ $p.Value }} {{ end }}{{ end }}',
  '{{ with tree "app" | explode }}{{ toJSON . }} {{ toYAML . }} {{ .b.c }}{{ end }}',
  '{{ range nodes }}{{ .Address }} {{ .Datacenter }}{{ end }} {{ datacenters }}',
  '{{ range service "web" }}{{ if .Tags | contains "v2" }}{{ .ID }}{{ end }}{{ end }}',
  '{{ key "app/json" | parseJSON | toJSONPretty }} {{ with key "app/json" | parseJSON }}{{ .n }} {{ .f }} {{ .l }} {{ index .l 1 }}{{ end }}',
  '{{ "a,b" | split "," | toJSON }} {{ "<x>" | toJSON }} {{ "<x>" | toUnescapedJSON }} {{ "it is" | toTitle }} {{ "x" | indent 3 }}',
  '{{ 7 | divide 2 }} {{ 7.0 | divide 2 }} {{ -7 | modulo 2 }} {{ 3 | minimum 2.5 }} {{ add 1 2.5 }} {{ multiply 2 3 }}',
  '{{ "foo-12" | regexReplaceAll "([a-z]+)-([0-9]+)" "$2-$1" }} {{ "b" | regexMatch "^[ab]$" }} {{ "x.y.x" | replaceAll "." "/" }}',
  '{{ "x" | sha256Hex }} {{ hmacSHA256Hex "m" "k" }} {{ "h\u00e9" | base64Encode }} {{ "YQ==" | base64Decode }} {{ "a?" | base64URLEncode }}',
  '{{ range $i := loop 3 }}{{ $i }}{{ end }}{{ range loop 2 4 }}{{ . }}{{ end }} {{ "1" | parseInt | add 1 }} {{ "1.5" | parseFloat }} {{ "t" | parseBool }}',
  '{{ scratch.MapSet "m" "b" 1 }}{{ scratch.MapSet "m" "a" 2 }}{{ scratch.MapValues "m" }}{{ scratch.Set "x" "y" }}{{ scratch.Get "x" }}',
  '{{ define "t" }}[{{ . }}]{{ end }}{{ executeTemplate "t" "x" }}{{ template "t" 1 }} {{ "k:v,l" | splitToMap "," ":" }} {{ trim "xy" "xaby" }}',
  '{{ with key "app/yaml" | parseYAML }}{{ .a }} {{ .b }} {{ toYAML . }}{{ end }}',
]

describe.skipIf(missing !== '')(`consul-template ${missing}`, () => {
  let plane: ControlPlane
  let dir: string
  let theirs: readonly string[]
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'outrigger-templates-'))
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', grpcTlsAddr: '127.0.0.1:0' })
    await plane.start()
    const put = async (path: string, body: object | string): Promise<void> => {
      const { status } = await fetch(`http://${plane.httpAddress}${path}`, {
        method: 'PUT',
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
      expect(status).toBe(200)
    }
    for (const [id, tags] of [
      ['web-1', ['v1', 'b']],
      ['web-2', ['v2', 'a']],
    ] as const)
      await put('/v1/agent/service/register', {
        ID: id,
        Name: 'web',
        Port: 8000 + Number(id.at(-1)),
        Tags: tags,
        Meta: { m: id },
        Check: { TTL: '1h', Status: 'passing' },
      })
    await put('/v1/agent/service/register', { ID: 'web-3', Name: 'web', Port: 8003, Check: { TTL: '1h', Status: 'critical' } })
    for (const [key, value] of Object.entries({
      a: '1',
      'b/c': '2',
      'b/d': 'x: y',
      json: '{"n":1,"f":1.5,"l":["a","b"],"h":"<>"}',
      yaml: 'a: 1\nb: [x, "1", true, null, 1.5]\n',
    }))
      await put(`/v1/kv/app/${key}`, value)
    const flags = TEMPLATES.flatMap((text, i) => {
      writeFileSync(join(dir, `${i}.tmpl`), text)
      return ['-template', `${join(dir, `${i}.tmpl`)}:${join(dir, `${i}.out`)}`]
    })
    await promisify(execFile)(bin, ['-once', '-consul-addr', plane.httpAddress, '-log-level', 'err', ...flags], { timeout: 60_000 })
    theirs = TEMPLATES.map((_, i) => readFileSync(join(dir, `${i}.out`), 'utf8'))
  })
  afterAll(async () => {
    await plane?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  it.each(TEMPLATES.map((text, i) => [text, i] as const))('%s', async (text, i) => {
    const known = new Map<string, unknown>()
    const template = new Template(text, { env: () => undefined, readFile: () => '', wallNow: () => 0 }, { name: 't' })
    for (;;) {
      const missingPaths: string[] = []
      const ours = template.render({
        answer: path => {
          if (!known.has(path)) missingPaths.push(path)
          return known.get(path)
        },
        wants: path => expect.fail(`${path} is not enough`),
      })
      if (missingPaths.length === 0) {
        expect(ours).toBe(theirs[i])
        return
      }
      for (const path of missingPaths) {
        const response = await fetch(`http://${plane.httpAddress}${path}`)
        known.set(path, response.status === 404 ? null : await response.json())
      }
    }
  })
})
