// Inputs of matcher trees that judge a response: its head, and the request that it answers. Used by custom_response.

import type { MatchInput } from '../../model/match-tree.js'
import type { ResponseHead } from '../codec/codec.js'
import type { SubjectReader } from '../match/match-tree.js'
import { RBAC_READER } from '../rbac/matcher-rbac.js'
import type { RbacInput } from '../rbac/rbac-input.js'

export interface ResponseSubject extends RbacInput {
  readonly response: ResponseHead
  /** It is an answer of the proxy's own. */
  readonly local: boolean
}

export const RESPONSE_READER: SubjectReader<ResponseSubject> = { input: responseInput, test: RBAC_READER.test }

function responseInput(input: MatchInput): (subject: ResponseSubject) => string | null {
  switch (input.kind) {
    case 'responseStatus':
      return ({ response }) => String(response.status)
    case 'responseStatusClass':
      return ({ response }) => `${Math.floor(response.status / 100)}xx`
    case 'responseIsLocal':
      return ({ local }) => String(local)
    case 'responseHeader':
      return ({ response }) => response.headers.getJoined(input.name) ?? null
    default:
      return RBAC_READER.input(input)
  }
}
