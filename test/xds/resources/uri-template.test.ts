import { describe, expect, it } from 'vitest'
import { Ctx, ErrorCollector } from '../../../src/xds/resources/field-path.js'
import { parseTemplate } from '../../../src/xds/resources/uri-template.js'

const parsed = (text: string) => {
  const sink = new ErrorCollector()
  const template = parseTemplate(text, new Ctx(sink, 'path_template'))
  return { template, errors: sink.errors.map(({ reason }) => reason) }
}
/** What the variables hold; null where the path does not match. */
const match = (text: string, path: string): Record<string, string> | null => {
  const { template } = parsed(text)
  const found = new RegExp(`^${template!.pattern}$`).exec(path)
  return found === null ? null : Object.fromEntries(template!.names.map((name, i) => [name, found[i + 1]!]))
}

describe('a URI template', () => {
  it.each([
    ['/t/{a}/x/{b}', '/t/1/x/2', { a: '1', b: '2' }],
    ['/t/{a}/x/{b}', '/t/1/x/2/3', null],
    ['/t/{a}/x/{b}', '/t/%41/x/b.c~d;v=1', { a: '%41', b: 'b.c~d;v=1' }],
    ['/any/*/z', '/any/1/z', {}],
    ['/any/*/z', '/any//z', null],
    ['/any/*/z', '/any/1/2/z', null],
    ['/deep/{rest=**}', '/deep/a/b/c', { rest: 'a/b/c' }],
    ['/deep/{rest=**}', '/deep/', { rest: '' }],
    ['/deep/{rest=**}', '/deep', null],
    ['/pat/{v=a/*/b}/end', '/pat/a/1/b/end', { v: 'a/1/b' }],
    ['/ext/**.m3u8', '/ext/a/b.m3u8', {}],
    ['/ext/**.m3u8', '/ext/x.mp4', null],
    ['/seg/{x=*}.jpg', '/seg/1.jpg', { x: '1' }],
  ] as const)('%s, %s', (template, path, variables) => {
    expect(match(template, path)).toEqual(variables)
  })

  it.each([
    ['/{a}/{a}', "variable 'a' comes twice"],
    ['no-slash', "it must begin with '/'"],
    ['/a//b', 'an empty segment'],
    ['/{a', "'{a' may not stand in a path"],
    ['/{}', "'' is no name of a variable"],
    ['/{1a}', "'1a' is no name of a variable"],
    ['/a?b', "'a?b' may not stand in a path"],
    ['/{a=}', "variable 'a' matches nothing"],
    ['/{a}/{b}/{c}/{d}/{e}/{f}', 'more than 5 variables'],
  ])('%s is refused: %s', (template, reason) => {
    expect(parsed(template)).toEqual({ template: null, errors: [`invalid path template '${template}': ${reason}`] })
  })
})
