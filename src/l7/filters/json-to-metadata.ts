// envoy.filters.http.json_to_metadata: fields of JSON bodies become dynamic metadata. A body that its rules look at is held whole, within the
// buffer limit of the connection; others pass as they come. A route's rules stand in the place of the filter's.

import type { JsonValue } from '../../model/metadata.js'
import type { JsonMetadataRules, JsonMetadataTarget, JsonToMetadataConfig } from '../../model/metadata-filters.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileFullMatch } from '../match/regex.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { JsonDocument, type JsonScalar } from './json-document.js'
import { requestControl } from './request-control.js'
import { responseControl } from './response-control.js'

/** Envoy's bound of one value. */
const MAX_VALUE_BYTES = 8 * 1024

export function jsonToMetadataFilter(name: string, disabled: boolean, config: JsonToMetadataConfig, ctx: FilterContext): FilterFactory {
  const filterOf = ({ request, response }: JsonToMetadataConfig): JsonToMetadataFilter =>
    new JsonToMetadataFilter(
      request === null ? null : new CompiledRules(request, 'rq', ctx),
      response === null ? null : new CompiledRules(response, 'resp', ctx),
    )
  const own = filterOf(config)
  const byRoute = compileOnce(filterOf)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter {
      const override = call.overrideFor(name)
      return override?.kind === 'jsonToMetadata' ? byRoute(override.config) : own
    },
  }
}

class CompiledRules {
  private readonly rules: JsonMetadataRules
  private readonly types: ReadonlySet<string>
  private readonly typeTest: ((value: string) => boolean) | null
  private readonly stats

  constructor(rules: JsonMetadataRules, prefix: string, ctx: FilterContext) {
    this.rules = rules
    this.types = new Set(rules.contentTypes)
    this.typeTest = rules.contentTypeRegex === null ? null : compileFullMatch(rules.contentTypeRegex, false)
    // Of all connection managers, as Envoy counts them.
    const scope = ctx.scope(`json_to_metadata.${prefix}`)
    this.stats = {
      success: scope.counter('success'),
      mismatched: scope.counter('mismatched_content_type'),
      noBody: scope.counter('no_body'),
      invalid: scope.counter('invalid_json_body'),
    }
  }

  /** False: the body is none of its business, and an error for its rules. */
  takes(call: FilterCall, headers: HeaderList): boolean {
    // The whole of the value, with its parameters.
    const type = headers.get('content-type') ?? ''
    const taken = type === '' ? this.rules.allowsNoContentType : this.types.has(type) || this.typeTest?.(type) === true
    if (!taken) {
      this.stats.mismatched.value++
      this.fail(call)
    }
    return taken
  }

  apply(call: FilterCall, body: Buffer): void {
    const found = new Findings(call)
    this.judge(body, found)
    found.write()
  }

  private fail(call: FilterCall): void {
    const found = new Findings(call)
    for (const { onError } of this.rules.rules) found.take(onError, undefined)
    found.write()
  }

  private judge(body: Buffer, found: Findings): void {
    const { stats, rules } = this
    if (body.length === 0) {
      stats.noBody.value++
      for (const { onMissing } of rules.rules) found.take(onMissing, undefined)
      return
    }
    let document: JsonDocument
    try {
      document = new JsonDocument(body.toString('utf8'))
    } catch {
      stats.invalid.value++
      for (const { onError } of rules.rules) found.take(onError, undefined)
      return
    }
    for (const { path, onPresent, onMissing } of rules.rules) {
      if (!document.has(path) || !found.take(onPresent, document.scalar(path, onPresent?.type === 'STRING')))
        found.take(onMissing, undefined)
    }
    stats.success.value++
  }
}

class JsonToMetadataFilter implements StreamFilter {
  private readonly requests: CompiledRules | null
  private readonly responses: CompiledRules | null

  constructor(requests: CompiledRules | null, responses: CompiledRules | null) {
    this.requests = requests
    this.responses = responses
  }

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    const { requests } = this
    if (requests === null || head.upgrade !== '' || head.method === 'CONNECT' || !requests.takes(call, head.headers)) return 'continue'
    const apply = (body: Buffer): void => {
      requests.apply(call, body)
      // Routes may look at what was found.
      call.clearRouteCache()
    }
    if (end) {
      apply(Buffer.alloc(0))
      return 'continue'
    }
    call.bufferRequest(requestControl(call).bufferLimitBytes, false, body => {
      apply(body)
      call.resume()
    })
    return 'stop'
  }

  responseHead(call: FilterCall, head: ResponseHead, end: boolean): FilterStatus {
    const { responses } = this
    if (responses === null || head.upgraded || !responses.takes(call, head.headers)) return 'continue'
    if (end) {
      responses.apply(call, Buffer.alloc(0))
      return 'continue'
    }
    responseControl(call).bufferResponse(requestControl(call).bufferLimitBytes, (body, trailers) => {
      responses.apply(call, body)
      return { body, trailers }
    })
    return 'stop'
  }
}

/** What the rules of one body found: written when all have been asked, so that none sees what another has found. */
class Findings {
  private readonly call: FilterCall
  private readonly found: { readonly namespace: string; readonly key: string; readonly value: JsonValue }[] = []

  constructor(call: FilterCall) {
    this.call = call
  }

  /** False: there is none of the type that is asked for, or it is too long. */
  take(target: JsonMetadataTarget | null, value: JsonScalar | undefined): boolean {
    if (target === null) return true
    const { namespace, key, type, keepsPresent } = target
    if (keepsPresent && this.call.info.dynamicMetadata(namespace)?.[key] !== undefined) return true
    const taken = target.value !== undefined ? target.value : value === undefined ? undefined : converted(value, type)
    if (taken === undefined || (typeof taken === 'string' && Buffer.byteLength(taken) > MAX_VALUE_BYTES)) return false
    if (taken !== '' || type !== 'STRING') this.found.push({ namespace, key, value: taken })
    return true
  }

  write(): void {
    for (const { namespace, key, value } of this.found) this.call.info.setDynamicMetadata(namespace, key, value)
  }
}

function converted(value: JsonScalar, type: JsonMetadataTarget['type']): JsonScalar | undefined {
  switch (type) {
    case 'PROTOBUF_VALUE':
      return value
    case 'STRING':
      // As Envoy prints them; numbers are texts already.
      return typeof value === 'boolean' ? (value ? '1' : '0') : String(value)
    case 'NUMBER': {
      const number = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value)
      return Number.isFinite(number) ? number : undefined
    }
  }
}
