// A list of header mutations, compiled: removed and appended in the order of the config. Used by header_mutation, and by the connection
// manager for what it does to a request before it looks at it.

import type { HeaderMutation } from '../../model/http-filter.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileStringMatcher } from '../match/string-matcher.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { CompiledHeaderOption } from './header-options.js'

type Step = { readonly remove: string } | { readonly removeMatching: (name: string) => boolean } | { readonly option: CompiledHeaderOption }

export class MutationList {
  private readonly steps: readonly Step[]

  constructor(mutations: readonly HeaderMutation[]) {
    this.steps = mutations.map(compileStep)
  }

  get empty(): boolean {
    return this.steps.length === 0
  }

  /** `head`: the request head that `headers` belong to; null for responses and trailers. */
  apply(headers: HeaderList, info: StreamInfo, head: RequestHead | null): void {
    for (const step of this.steps) {
      if ('remove' in step) headers.remove(step.remove)
      else if ('option' in step) step.option.apply(headers, info, head)
      else for (let i = headers.length - 1; i >= 0; i--) if (step.removeMatching(headers.lower[i]!)) headers.removeAt(i)
    }
  }
}

function compileStep(mutation: HeaderMutation): Step {
  switch (mutation.kind) {
    case 'remove':
      return { remove: mutation.name.toLowerCase() }
    case 'removeOnMatch':
      return { removeMatching: compileStringMatcher(mutation.matcher) }
    case 'append':
      return { option: new CompiledHeaderOption(mutation.option) }
  }
}
