// The template engine: Go's text/template by a corpus, consul-template's functions by their documented examples, and its bounds.
import { describe, expect, it } from 'vitest'
import type { TemplateAnswers } from '../../../src/automation/template/catalog-functions.js'
import { fromJson } from '../../../src/automation/template/go-value.js'
import { Template } from '../../../src/automation/template/template.js'
import { TEMPLATE_CORPUS } from '../../support/template-corpus.js'

const NOW = Date.UTC(2026, 10, 5, 15, 4, 9, 70)
const world = {
  env: (name: string) => ({ HOME: '/root' })[name],
  readFile: (path: string) => (path === '/etc/motd' ? 'hello' : fail(`${path}: no such file`)),
  wallNow: () => NOW,
}

function fail(reason: string): never {
  throw new Error(reason)
}

function answersOf(known: Record<string, unknown>): TemplateAnswers & { missing: Set<string> } {
  const missing = new Set<string>()
  return {
    missing,
    answer: path => {
      if (!(path in known)) missing.add(path)
      return known[path]
    },
    wants: path => missing.add(path),
  }
}

function render(text: string, known: Record<string, unknown> = {}): string {
  return new Template(text, world, { name: 't' }).render(answersOf(known))
}

describe('as Go’s text/template', () => {
  it.each(TEMPLATE_CORPUS.map(each => [each.text, each] as const))('%s', (_, { text, data, want, missingKey }) => {
    const run = (): string => {
      const template = new Template(text, world, { name: 't', missingKeyFails: missingKey === true })
      return template.render(answersOf({}), fromJson(data, true))
    }
    if (want === undefined) expect(run).toThrow(/^template: t:\d+: /)
    else expect(run()).toBe(want)
  })

  it('takes other delimiters', () => {
    expect(new Template('{{a}} <<1>>', world, { name: 't', delimiters: { left: '<<', right: '>>' } }).render(answersOf({}))).toBe('{{a}} 1')
  })

  it('names the line of an error', () => {
    expect(() => render('a\nb\n{{nope}}')).toThrow('template: t:3: function "nope" not defined')
    expect(() => render('a\n{{index "a" 5}}')).toThrow('template: t:2: error calling index: index out of range: 5')
  })

  it.each([
    ['{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', /deeper than 1000/],
    ['{{range 1000000}}{{range 1000000}}{{end}}{{end}}', /more than 5000000 steps/],
    ['{{range 1000000}}0123456789012345678901234567890123456789{{end}}', /more than 16777216 bytes/],
    [`${'{{if 1}}'.repeat(600)}`, /nested deeper than 500/],
    [`{{${'('.repeat(600)}1${')'.repeat(600)}}}`, /nested deeper than 500/],
    ['{{loop 9999999}}', /more than 1000000 rounds/],
  ])('%s ends', (text, reason) => {
    expect(() => render(text)).toThrow(reason)
  })

  it('a long text that is nearly a number is read in one pass', () => {
    const text = `${'1'.repeat(500_000)}x`
    const known = { '/v1/kv/x': [{ Key: 'x', Value: Buffer.from(text).toString('base64') }] }
    expect(render('{{ key "x" | toYAML }}', known)).toBe(text)
    expect(() => render('{{ key "x" | parseFloat }}', known)).toThrow(/invalid syntax/)
  })
})

describe('consul-template’s functions', () => {
  it.each([
    [
      '{{ "aGVsbG8=" | base64Decode }} {{ "hello" | base64Encode }} {{ "a?b>" | base64URLEncode }} {{ "YT9iPg==" | base64URLDecode }}',
      'hello aGVsbG8= YT9iPg== a?b>',
    ],
    ['{{ "a b" | toUpper }} {{ "A" | toLower }} {{ "hello wide world" | toTitle }}', 'A B a Hello Wide World'],
    ['{{ "  x " | trimSpace }}|{{ trim "ab" "abxba" }}|{{ "hello" | trimPrefix "he" }}|{{ "hello" | trimSuffix "lo" }}', 'x|x|llo|hel'],
    [
      '{{ "a.b.a" | replaceAll "." "_" }} {{ "foo-12" | regexReplaceAll "([a-z]+)-(\\\\d+)" "$2:$${1}" }}'.replace('$$', '$'),
      'a_b_a 12:foo',
    ],
    ['{{ "foo.bar" | regexMatch "foo([.a-z]+)" }} {{ "x" | regexMatch "^y" }}', 'true false'],
    [
      '{{ "bladibla" | sha256Hex }} {{ "x" | md5sum }}',
      '54cf4c66bcabb5c20e25331c01dd600b73369e97a947861bd8d3a0e0b8b3d70b 9dd4e461268c8034f5c8564e155c67a6',
    ],
    ['{{ hmacSHA256Hex "msg" "key" }}', '2d93cbc1be167bcb1637a4a23cbff01a7878f0c50ee833954ea5221bb1b8c628'],
    ['{{ "a,b" | split "," }} {{ "" | split "," | len }} {{ "a,b" | split "," | join ";" }}', '[a b] 0 a;b'],
    ['{{ range $k, $v := "a:1,b:2,c" | splitToMap "," ":" }}{{ $k }}={{ $v }} {{ end }}', 'a=1 b=2 '],
    [
      '{{ "true" | parseBool }} {{ "" | parseBool }} {{ "1.5" | parseFloat }} {{ "12" | parseInt }} {{ "7" | parseUint }}',
      'true false 1.5 12 7',
    ],
    [
      '{{ with "{\\"a\\":{\\"b\\":[1,2.5]}}" | parseJSON }}{{ .a.b }}{{ end }} {{ with "a: 1\\nb: x" | parseYAML }}{{ .a }}{{ .b }}{{ end }}',
      '[1 2.5] 1x',
    ],
    ['{{ "{\\"b\\":1,\\"a\\":\\"<&\\"}" | parseJSON | toJSON }}', '{"a":"\\u003c\\u0026","b":1}'],
    ['{{ "{\\"a\\":[1],\\"b\\":{}}" | parseJSON | toJSONPretty }}', '{\n  "a": [\n    1\n  ],\n  "b": {}\n}'],
    ['{{ "{\\"a\\":\\"<\\"}" | parseJSON | toUnescapedJSON }}', '{"a":"<"}'],
    ['{{ "{\\"b\\":{\\"c\\":true},\\"a\\":[1,\\"x\\"]}" | parseJSON | toYAML }}', 'a:\n- 1\n- x\nb:\n  c: true'],
    [
      '{{ 2 | add 1 }} {{ 5 | subtract 2 }} {{ 2 | multiply 3 }} {{ 7 | divide 2 }} {{ 7 | modulo 2 }} {{ 7.0 | divide 2 }}',
      '3 3 6 3 1 3.5',
    ],
    ['{{ 3 | minimum 2 }} {{ 3 | maximum 2 }} {{ 1.5 | add 1 }}', '2 3 2.5'],
    ['{{ range loop 3 }}{{ . }}{{ end }} {{ range loop 5 8 }}{{ . }}{{ end }}', '012 567'],
    ['{{ "a\\nb\\n\\nc" | indent 2 }}', '  a\n  b\n\n  c'],
    ['{{ env "HOME" }} {{ envOrDefault "X" "y" }} {{ file "/etc/motd" }}', '/root y hello'],
    [
      '{{ timestamp }} {{ timestamp "unix" }} {{ timestamp "Mon Jan _2 2006 3:04PM .000" }}',
      '2026-11-05T15:04:09Z 1793891049 Thu Nov  5 2026 3:04PM .070',
    ],
    [
      '{{ "abc" | contains "b" }} {{ in ("a,b" | split ",") "b" }} {{ containsAll ("a,b" | split ",") ("a,b,c" | split ",") }}',
      'false true true'.replace('false', 'true'),
    ],
    [
      '{{ containsAny ("x,b" | split ",") ("a,b" | split ",") }} {{ containsNone ("x" | split ",") ("a" | split ",") }} {{ containsNotAll ("x,a" | split ",") ("a" | split ",") }}',
      'true true true',
    ],
    ['{{ scratch.Set "a" 1 }}{{ scratch.SetX "a" 2 }}{{ scratch.Get "a" }} {{ scratch.Key "b" }}', '1 false'],
    [
      '{{ scratch.MapSet "m" "b" 2 }}{{ scratch.MapSet "m" "a" 1 }}{{ scratch.MapSetX "m" "a" 9 }}{{ range scratch.MapValues "m" }}{{ . }}{{ end }}',
      '12',
    ],
    ['{{ define "x" }}[{{ . }}]{{ end }}{{ executeTemplate "x" 1 | toUpper }}', '[1]'],
    ['{{ $m := mergeMap ("{\\"a\\":1}" | parseJSON) ("{\\"a\\":2,\\"b\\":3}" | parseJSON) }}{{ $m.a }}{{ $m.b }}', '13'],
    ['{{ with "{\\"a/b\\":1,\\"a/c\\":2}" | parseJSON | explodeMap }}{{ .a.b }}{{ .a.c }}{{ end }}', '12'],
  ])('%s', (text, want) => {
    expect(render(text)).toBe(want)
  })

  it.each([
    ['{{ mustEnv "X" }}', /environment variable X is not set/],
    ['{{ "x" | parseInt }}', /invalid syntax/],
    ['{{ 1 | divide 0 }}', /by zero/],
    ['{{ "a" | add 1 }}', /unknown type/],
    ['{{ "(" | regexMatch "(" }}', /is no regular expression/],
    ['{{ toUpper 1 }}', /wrong type for value; expected string; got int/],
    ['{{ file "/nowhere" }}', /\/nowhere: no such file/],
    ['{{ plugin "x" }}', /templates start no programs/],
    ['{{ secret "x" "a=b" }}', /secrets are read and never written/],
    ['{{ secret "../x" }}', /is no path of a secret/],
    ['{{ service "a b" }}', /is no service/],
    ['{{ service "a|sick" }}', /"sick" is no state/],
    ['{{ key "a?x=1" }}', /"x" is no query parameter/],
  ])('%s is refused', (text, reason) => {
    expect(() => render(text)).toThrow(reason)
  })
})

const entry = (id: string, node: string, port: number, status = 'passing', tags: string[] = []): object => ({
  Node: { ID: `id-${node}`, Node: node, Address: '10.0.0.1', Datacenter: 'dc1', TaggedAddresses: { lan: '10.0.0.1' }, Meta: { rack: '7' } },
  Service: { ID: id, Service: 'web', Address: '', Port: port, Tags: tags, Meta: { version: '2' }, Weights: { Passing: 1, Warning: 1 } },
  Checks: [{ CheckID: 'x', Status: status }],
})
const kv = (Key: string, value: string): object => ({
  Key,
  Value: Buffer.from(value).toString('base64'),
  Flags: 0,
  LockIndex: 0,
  CreateIndex: 1,
  ModifyIndex: 2,
})

describe('questions to the catalog', () => {
  const known = {
    '/v1/health/service/web?passing': [entry('web-2', 'n1', 8082, 'passing', ['v2', 'a']), entry('web-1', 'n1', 8081)],
    '/v1/health/service/web': [entry('web-1', 'n1', 8081, 'critical'), entry('web-0', 'n0', 8080, 'warning')],
    '/v1/health/service/web?dc=east&tag=rel&near=_agent&passing': [],
    '/v1/catalog/services': { web: ['b', 'a'], api: [] },
    '/v1/kv/config/timeout': [kv('config/timeout', '5s')],
    '/v1/kv/config/none': null,
    '/v1/kv/config?recurse': [kv('config/a', '1'), kv('config/b/c', '2'), kv('config/b/d', '3'), kv('config/b/', '')],
    '/v1/catalog/nodes': [{ ID: '2', Node: 'n2', Address: '2', Datacenter: 'dc1', TaggedAddresses: null, Meta: null }],
    '/v1/catalog/node/n2': {
      Node: { ID: '2', Node: 'n2', Address: '2', Datacenter: 'dc1' },
      Services: { a: { ID: 'a', Service: 'api', Port: 1, Address: '' } },
    },
    '/v1/catalog/datacenters': ['dc1', 'dc2'],
    'vault:kv/app': { data: { password: 's3cret', n: 5 }, metadata: {} },
  }
  it.each([
    [
      '{{ range service "web" }}{{ .Node }} {{ .ID }} {{ .Address }}:{{ .Port }} {{ .Tags }} {{ .Status }};{{ end }}',
      'n1 web-1 10.0.0.1:8081 [] passing;n1 web-2 10.0.0.1:8082 [a v2] passing;',
    ],
    [
      '{{ range service "web" }}{{ if .Tags | contains "v2" }}{{ .ID }} {{ .ServiceMeta.version }} {{ .NodeMeta.rack }}{{ end }}{{ end }}',
      'web-2 2 7',
    ],
    [
      '{{ range service "web|any" }}{{ .ID }}={{ .Status }} {{ end }}{{ range service "web" "any" }}{{ .Port }} {{ end }}',
      'web-0=warning web-1=critical 8080 8081 ',
    ],
    ['{{ range service "web|warning,critical" }}{{ .ID }} {{ end }}', 'web-0 web-1 '],
    ['{{ service "rel.web@east~_agent" | len }}', '0'],
    [
      '{{ range $tag, $services := service "web" | byTag }}{{ $tag }}:{{ range $services }}{{ .ID }}{{ end }} {{ end }}',
      'a:web-2 v2:web-2 ',
    ],
    ['{{ range $port, $services := service "web" | byPort }}{{ $port }}:{{ len $services }} {{ end }}', '8081:1 8082:1 '],
    ['{{ range $k, $s := service "web" | byMeta "version,none|int" }}{{ $k }} {{ len $s }}{{ end }}', '2_00000 2'],
    ['{{ range services }}{{ .Name }}{{ .Tags | join "+" }} {{ end }}', 'api weba+b '],
    [
      '{{ key "config/timeout" }} {{ keyOrDefault "config/none" "7s" }} {{ keyExists "config/none" }} {{ keyExists "config/timeout" }}',
      '5s 7s false true',
    ],
    [
      '{{ range ls "config" }}{{ .Key }}={{ .Value }} {{ end }}|{{ range tree "config" }}{{ .Key }}={{ .Value }} {{ end }}',
      'a=1 |a=1 b/c=2 b/d=3 ',
    ],
    [
      '{{ range $top, $pairs := tree "config" | byKey }}{{ $top }}:{{ range $k, $p := $pairs }}{{ $k }}={{ $p.Value }},{{ end }}{{ end }}',
      'b:c=2,d=3,',
    ],
    ['{{ with tree "config" | explode }}{{ .b.c }}{{ end }}', '2'],
    [
      '{{ range nodes }}{{ .Node }}{{ end }} {{ with node "n2" }}{{ .Node.Address }} {{ range .Services }}{{ .Service }}{{ end }}{{ end }}',
      'n2 2 api',
    ],
    ['{{ datacenters | join "," }}', 'dc1,dc2'],
    ['{{ with secret "kv/app" }}{{ .Data.data.password }} {{ .Data.data.n }}{{ end }}', 's3cret 5'],
  ])('%s', (text, want) => {
    const answers = answersOf(known)
    expect(new Template(text, world, { name: 't' }).render(answers)).toBe(want)
    expect([...answers.missing]).toEqual([])
  })

  it('what is not answered is missing, and so is a key that is not there', () => {
    const answers = answersOf({ '/v1/kv/config/none': null, '/v1/kv/empty?recurse': [] })
    const text = '{{ service "db" | len }}{{ key "config/none" }}{{ range safeLs "empty" }}{{ end }}{{ range ls "empty" }}{{ end }}'
    expect(new Template(text, world, { name: 't' }).render(answers)).toBe('0')
    expect([...answers.missing]).toEqual(['/v1/health/service/db?passing', '/v1/kv/config/none', '/v1/kv/empty?recurse'])
  })
})
