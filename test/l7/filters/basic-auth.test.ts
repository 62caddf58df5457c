// basic_auth without a proxy around it; what it does with requests is compared with Envoy in integration/envoy-differential-filters.test.ts.
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { FakeCall, FakeEnvironment, requestHead, runHead } from './fake-call.js'

const credentials = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`
const passes = (authenticationHeader: string, ...values: string[]) => {
  const config = {
    users: new Map([['u', createHash('sha1').update('p').digest()]]),
    realm: '',
    forwardUsernameHeader: '',
    authenticationHeader,
    allowMissing: false,
    emitDynamicMetadata: false,
  }
  const call = new FakeCall(requestHead({}, { [authenticationHeader]: values }))
  return runHead(new FakeEnvironment().factory({ kind: 'basicAuth', config }), call).status === 'continue'
}

it('takes the first of several fields, but Authorization as the one value that it is', () => {
  const [right, wrong] = [credentials('u:p'), credentials('u:q')]
  expect([passes('x-auth', right, wrong), passes('x-auth', wrong, right)]).toEqual([true, false])
  expect([passes('authorization', right), passes('authorization', right, wrong)]).toEqual([true, false])
})
