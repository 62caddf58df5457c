import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ExprSchema } from '../../../src/xds/gen/google/api/expr/v1alpha1/syntax_pb.js'
import { decodeCelTree } from '../../../src/xds/resources/cel.js'
import { Ctx, ErrorCollector } from '../../../src/xds/resources/field-path.js'

type Init = MessageInitShape<typeof ExprSchema>
const ident = (name: string): Init => ({ exprKind: { case: 'identExpr', value: { name } } })
const select = (operand: Init, field: string, testOnly = false): Init => ({
  exprKind: { case: 'selectExpr', value: { operand, field, testOnly } },
})
const text = (value: string): Init => ({ exprKind: { case: 'constExpr', value: { constantKind: { case: 'stringValue', value } } } })
const int = (value: bigint): Init => ({ exprKind: { case: 'constExpr', value: { constantKind: { case: 'int64Value', value } } } })
const call = (name: string, args: Init[], target?: Init): Init => ({
  exprKind: { case: 'callExpr', value: { function: name, args, ...(target === undefined ? {} : { target }) } },
})
const decoded = (expr: Init): { text: string; errors: string[] } => {
  const sink = new ErrorCollector()
  return { text: decodeCelTree(create(ExprSchema, expr), new Ctx(sink, 'condition')), errors: sink.errors.map(({ reason }) => reason) }
}

describe('a syntax tree is the expression that it stands for', () => {
  const path = select(ident('request'), 'path')
  it.each([
    [call('_==_', [path, text('/a"b')]), '(request.path == "/a\\"b")'],
    [call('_&&_', [select(path, 'x', true), call('!_', [call('_>_', [select(ident('request'), 'size'), int(5n)])])]), null],
    [call('startsWith', [text('/a')], path), 'request.path.startsWith("/a")'],
    [call('_==_', [call('_[_]', [select(ident('request'), 'headers'), text('x-a')]), text('1')]), '(request.headers["x-a"] == "1")'],
    [
      call('@in', [
        select(ident('request'), 'method'),
        { exprKind: { case: 'listExpr', value: { elements: [text('GET'), text('PUT')] } } },
      ]),
      '(request.method in ["GET", "PUT"])',
    ],
    [
      call('_?_:_', [
        select(select(ident('request'), 'headers'), 'a', true),
        call('_==_', [int(1n), int(1n)]),
        call('_==_', [int(1n), int(2n)]),
      ]),
      null,
    ],
  ] as [Init, string | null][])('%#', (expr, expected) => {
    const { text: out, errors } = decoded(expr)
    expect(errors).toEqual([])
    if (expected !== null) expect(out).toBe(expected)
  })

  it('what has no meaning here is refused with its reason', () => {
    expect(decoded(call('_==_', [ident('nothing'), int(1n)])).errors[0]).toMatch(/invalid CEL expression: .*nothing/)
    expect(decoded(ident('a b')).errors).toEqual(["'a b' is no name in a CEL expression"])
    expect(decoded(call('nope', [int(1n)])).errors[0]).toMatch(/invalid CEL expression/)
    let deep: Init = call('_==_', [int(1n), int(1n)])
    for (let i = 0; i < 40; i++) deep = call('!_', [deep])
    expect(decoded(deep).errors).toEqual(['a CEL expression may be 32 deep at most'])
  })
})
