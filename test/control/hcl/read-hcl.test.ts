// HCL as Consul's documentation writes it (both generations of the language), and what is refused with its place.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HclError, readHcl } from '../../../src/control/hcl/read-hcl.js'

/** HCL's own template, which stays text; put together here because it looks like one of JavaScript's. */
const TEMPLATE = ['$', '{node.name}'].join('')

describe('what Consul documents', () => {
  it('reads ACL rules: labels become keys, blocks of one name are joined', () => {
    const text = `
# what the web team may do
key_prefix "apps/web/" { policy = "write" }
key_prefix "" {
  policy = "read"
}
service "web" { policy = "write" intentions = "read" }
acl = "read"
operator="deny"
`
    expect(readHcl(text)).toEqual({
      key_prefix: { 'apps/web/': { policy: 'write' }, '': { policy: 'read' } },
      service: { web: { policy: 'write', intentions: 'read' } },
      acl: 'read',
      operator: 'deny',
    })
  })

  it('reads a service definition with blocks inside blocks and on one line', () => {
    const text = `
service {
  name = "web"
  port = 8080
  tags = ["v1", "primary",]
  meta { version = "1.0" "x-team" = "core" }
  connect { sidecar_service { proxy {
    upstreams = [
      { destination_name = "api", local_bind_port = 9191 },
      { destination_name = "db" local_bind_port = 9192 },
    ]
  } } }
  check { id = "a" http = "http://localhost:8080/health" interval = "10s" }
}
`
    expect(readHcl(text)).toEqual({
      service: {
        name: 'web',
        port: 8080,
        tags: ['v1', 'primary'],
        meta: { version: '1.0', 'x-team': 'core' },
        connect: {
          sidecar_service: {
            proxy: {
              upstreams: [
                { destination_name: 'api', local_bind_port: 9191 },
                { destination_name: 'db', local_bind_port: 9192 },
              ],
            },
          },
        },
        check: { id: 'a', http: 'http://localhost:8080/health', interval: '10s' },
      },
    })
  })

  it('reads a config entry with blocks in the objects of a list', () => {
    const text = `
Kind = "service-router"
Name = "web"
Routes = [
  {
    Match {
      HTTP { PathPrefix = "/admin" }
    }
    Destination { Service = "admin" NumRetries = 5 RequestTimeout = "15s" }
  },
  // everything else
]
`
    expect(readHcl(text)).toEqual({
      Kind: 'service-router',
      Name: 'web',
      Routes: [
        {
          Match: { HTTP: { PathPrefix: '/admin' } },
          Destination: { Service: 'admin', NumRetries: 5, RequestTimeout: '15s' },
        },
      ],
    })
  })

  it('makes a list of blocks that are given twice', () => {
    expect(readHcl('services { name = "a" }\nservices { name = "b" }\nservices { name = "c" }')).toEqual({
      services: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
    })
  })

  it('reads heredocs, plain and with the indent taken off, comments and escapes', () => {
    const text = `a = <<EOT\n  {"x": 1}\n  y\nEOT\nb = <<-END\n    one\n      two\n  END\n/* not\nhere */ c = "tab\\t\\u00e9 \\"q\\" ${TEMPLATE}"`
    expect(readHcl(text)).toEqual({
      a: '  {"x": 1}\n  y\n',
      b: 'one\n  two\n',
      c: `tab\té "q" ${TEMPLATE}`,
    })
  })

  it('reads numbers of every form, literals, and an object in place of a body', () => {
    expect(readHcl('a = -1.5e3, b = 0x1F, c = true, d = null, e = { "k": [1, [2]], f = false }')).toEqual({
      a: -1500,
      b: 31,
      c: true,
      d: null,
      e: { k: [1, [2]], f: false },
    })
    expect(readHcl('{ "Kind": "mesh", "TransparentProxy": {} }')).toEqual({ Kind: 'mesh', TransparentProxy: {} })
  })

  it('reads every JSON object as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), value => {
        const clean = JSON.parse(JSON.stringify(value)) as Record<string, unknown>
        if (/__proto__|\$\{/.test(JSON.stringify(clean))) return
        expect(readHcl(JSON.stringify(clean, null, 1))).toEqual(clean)
      }),
      { seed: 7, numRuns: 300 },
    )
  })
})

describe('what is refused, with its place', () => {
  it.each([
    ['a = b', 'line 1, column 5: a value is expected, not "b"'],
    ['a = "x\nb = 1', 'line 1, column 5: this string does not end'],
    ['a {\n  b = 1\n', 'line 3, column 1: a name is expected, not the end'],
    ['a = [1 2]', 'line 1, column 8: "," or "]" is expected, not "2"'],
    ['a = 1\na = 2', 'line 2, column 1: a is given twice'],
    ['a = 1\na { b = 2 }', 'line 2, column 1: a is given twice'],
    ['a "b"', 'line 1, column 6: "=" or "{" is expected, not the end'],
    ['x = "\\q"', 'line 1, column 6: \\q is no escape'],
    ['x = <<EOT\nno end', 'line 1, column 5: this heredoc does not end with EOT'],
    ['/* open', 'line 1, column 1: this comment does not end'],
    ['x = @', 'line 1, column 5: "@" is not expected here'],
    ['__proto__ = 1', 'line 1, column 1: __proto__ is no name'],
    ['a "__proto__" { b = 1 }', 'line 1, column 1: __proto__ is no name'],
    ['{ a = 1 } b', 'line 1, column 11: the end of the text is expected, not "b"'],
  ])('%j', (text, message) => {
    expect(() => readHcl(text)).toThrow(new HclError(1, 1, '').constructor as typeof HclError)
    expect(() => readHcl(text)).toThrow(message)
  })

  it('nesting without end', () => {
    expect(() => readHcl('a { '.repeat(10_000))).toThrow('nested deeper than 64')
    expect(() => readHcl(`a = ${'['.repeat(10_000)}`)).toThrow('nested deeper than 64')
  })

  it('any text: an object or an HclError', () => {
    const pieces = fc.constantFrom(
      'a',
      '"b"',
      '=',
      '{',
      '}',
      '[',
      ']',
      ',',
      '\n',
      '1',
      '<<E\n',
      '\nE\n',
      '#',
      '/*',
      '*/',
      '\\',
      '"',
      '${',
      'true',
      ' ',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 40 }), parts => {
        try {
          expect(typeof readHcl(parts.join(''))).toBe('object')
        } catch (error) {
          expect(error).toBeInstanceOf(HclError)
        }
      }),
      { seed: 11, numRuns: 3000 },
    )
  })
})
