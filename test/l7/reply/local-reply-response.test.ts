import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../src/l7/codec/header-list.js'
import { prepareLocalReply } from '../../../src/l7/reply/local-reply-response.js'
import { compileHeaderMutations } from '../../../src/l7/route/header-mutations.js'
import type { HeaderOption } from '../../../src/model/header-option.js'
import { FakeCall, requestHead } from '../filters/fake-call.js'

const option = (name: string, value: string, action: HeaderOption['action'] = 'APPEND_IF_EXISTS_OR_ADD'): HeaderOption => ({
  name,
  value,
  action,
  keepEmptyValue: false,
})

function replied(body: string, added: readonly HeaderOption[], extra: HeaderList | null = null, isGrpc = false, details = 'd') {
  const { request, info } = new FakeCall(requestHead())
  const mutations = compileHeaderMutations(added, [])
  const reply = { status: 429, body, details, flag: 0 }
  const { head, body: bytes } = prepareLocalReply(request, info, null, isGrpc, reply, extra, list => mutations?.apply(list, info))
  return { fields: head.headers.raw.map((name, i) => `${name}: ${head.headers.values[i]}`).sort(), length: bytes.length }
}

describe('a local reply', () => {
  it('has the length of its body, whatever a route or a filter says', () => {
    const expected = { fields: ['content-length: 4', 'content-type: text/plain'], length: 4 }
    expect(replied('body', [option('content-length', '99')])).toEqual(expected)
    expect(replied('body', [], HeaderList.of(['content-length', '99']))).toEqual(expected)
    expect(replied('', [option('content-length', '99'), option('content-type', 'a/b')])).toEqual({ fields: [], length: 0 })
  })

  it('has the one type that the route says', () => {
    expect(replied('{}', [option('content-type', 'application/json')]).fields).toEqual([
      'content-length: 2',
      'content-type: application/json',
    ])
    expect(replied('{}', [option('content-type', 'a/b', 'OVERWRITE_IF_EXISTS')]).fields).toContain('content-type: text/plain')
  })

  it('to gRPC keeps the status that the route says, and its own type', () => {
    expect(replied('no', [option('content-type', 'a/b'), option('grpc-status', '7')], null, true).fields).toEqual([
      'content-type: application/grpc',
      'grpc-message: no',
      'grpc-status: 7',
    ])
  })

  it('formats of the route see the status', () => {
    expect(replied('', [option('x-code', '%RESPONSE_CODE%')]).fields).toEqual(['x-code: 429'])
  })

  it('of a redirect: the route has the last word on its location', () => {
    const location = HeaderList.of(['location', '/a'])
    const fields = (details: string) =>
      replied('', [option('location', '/b', 'OVERWRITE_IF_EXISTS_OR_ADD')], location, false, details).fields
    expect(fields('direct_response')).toEqual(['location: /b'])
    expect(fields('oauth2')).toEqual(['location: /a'])
  })
})
