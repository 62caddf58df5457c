// Declares what F5's Application Services 3 Extension of a BIG-IP shall have: a token by login, the declaration, the device's own task until
// it has ended, the token given back. Made by drivers.ts. AS3 itself applies a tenant whole or not at all.
// Invariant: it is not done before every tenant of the declaration says so; a declaration that the device refuses is not tried again.
import type { As3Target } from '../../config/sync-config.js'
import { pause } from '../../pause.js'
import type { TemplateAnswers } from '../../template/catalog-functions.js'
import { Template, type TemplateWorld } from '../../template/template.js'
import { type Applied, type Change, type Driver, DriverError, type Preview } from '../driver.js'
import { textDiff } from '../text-diff.js'
import { callWithRetries, expectGood, type HttpAnswer, type HttpRequest, type HttpWorld } from './http-call.js'
import { canonicalJson, canonicalText, parseJsonBody } from './json-text.js'
import { basicAuthHeader, readSecret } from './secret-text.js'

interface As3Result {
  readonly code: number
  readonly message: string
  readonly tenant?: string
  readonly response?: string
  readonly errors?: readonly string[]
}

const DECLARE = '/mgmt/shared/appsvcs/declare'
const TASK = '/mgmt/shared/appsvcs/task/'
const LOGIN = '/mgmt/shared/authn/login'
const TOKENS = '/mgmt/shared/authz/tokens/'
const POLL_MS = 2_000
const ACCEPTED = 202
const MULTI_STATUS = 207
const NOTHING_DECLARED = new Set([204, 404])

export class As3Driver implements Driver {
  private readonly template: Template

  constructor(
    private readonly config: As3Target,
    private readonly world: HttpWorld & TemplateWorld,
  ) {
    const { declaration } = config
    this.template = new Template(declaration.text, world, { ...declaration, delimiters: declaration })
  }

  prepare(answers: TemplateAnswers): Change {
    const content = this.template.render(answers)
    return {
      content,
      preview: signal => this.loggedIn(signal, headers => this.preview(content, headers, signal)),
      apply: ({ signal }) => this.loggedIn(signal, headers => this.apply(content, headers, signal)),
    }
  }

  private async preview(content: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Preview> {
    const wanted = declarationOf(parseJsonBody(content, this.config.declaration.name))
    const answer = await this.call('GET', DECLARE, headers, undefined, signal)
    if (!NOTHING_DECLARED.has(answer.status)) expectGood(answer, { method: 'GET', url: this.at(DECLARE), headers })
    const there = answer.text === '' || NOTHING_DECLARED.has(answer.status) ? '' : canonicalText(answer.text)
    const plan = textDiff(there, canonicalJson(wanted), this.at(DECLARE))
    return { changes: plan !== '', plan }
  }

  private async apply(content: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Applied> {
    parseJsonBody(content, this.config.declaration.name)
    const answer = await this.call('POST', `${DECLARE}?async=true`, headers, content, signal)
    const request = { method: 'POST', url: this.at(DECLARE), headers }
    if (answer.status !== ACCEPTED && answer.status !== MULTI_STATUS) expectGood(answer, request)
    const results = answer.status === ACCEPTED ? await this.awaitTask(answer, headers, signal) : resultsOf(answer, request)
    const failed = results.filter(({ code }) => code >= 300)
    if (failed.length > 0)
      throw new DriverError(failed.map(shownResult).join('; '), { isFinal: failed.every(({ code }) => code >= 400 && code < 500) })
    return {
      changed: results.some(({ message }) => message !== 'no change'),
      summary: results.map(({ tenant = 'all', message }) => `${tenant}: ${message}`).join(', '),
      output: '',
    }
  }

  /** The device works on it by itself; until then its results say `in progress`. */
  private async awaitTask(
    accepted: HttpAnswer,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly As3Result[]> {
    const { id } = parseJsonBody(accepted.text, this.at(DECLARE)) as { id?: string }
    if (typeof id !== 'string' || !/^[\w-]+$/.test(id)) throw new DriverError(`POST ${this.at(DECLARE)}: the answer names no task`)
    const { clock } = this.world
    const end = clock.now() + this.config.taskTimeoutMs
    for (;;) {
      const request = { method: 'GET', url: this.at(TASK + id), headers }
      const results = resultsOf(expectGood(await this.call('GET', TASK + id, headers, undefined, signal), request), request)
      if (!results.some(({ message, code }) => message === 'in progress' || code === 0)) return results
      if (signal.aborted) throw new DriverError(`task ${id}: was stopped; the device goes on with it`)
      if (clock.now() >= end) throw new DriverError(`task ${id}: has not ended within ${this.config.taskTimeoutMs / 1000} s`)
      await pause(POLL_MS, clock, signal)
    }
  }

  private async loggedIn<T>(signal: AbortSignal, act: (headers: Readonly<Record<string, string>>) => Promise<T>): Promise<T> {
    const { login } = this.config
    if (login === null) return await act(basicAuthHeader(this.config, this.world))
    const body = JSON.stringify({
      username: login.username,
      password: readSecret(login.password, this.world),
      loginProviderName: login.provider,
    })
    const answer = expectGood(await this.call('POST', LOGIN, {}, body, signal), { method: 'POST', url: this.at(LOGIN), headers: {} })
    const { token } = parseJsonBody(answer.text, this.at(LOGIN)) as { token?: { token?: string } }
    if (typeof token?.token !== 'string') throw new DriverError(`POST ${this.at(LOGIN)}: the answer has no token`)
    const headers = { 'X-F5-Auth-Token': token.token }
    try {
      return await act(headers)
    } finally {
      // A device has a hundred tokens for a user; one that stays ends by itself.
      await this.call('DELETE', TOKENS + encodeURIComponent(token.token), headers, undefined, new AbortController().signal).catch(() => {})
    }
  }

  private call(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const request: HttpRequest = {
      method,
      url: this.at(path),
      headers: { ...headers, Accept: 'application/json', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      ...(body === undefined ? {} : { body }),
    }
    return callWithRetries(this.config, request, this.world, signal)
  }

  private at(path: string): string {
    return `${this.config.url.replace(/\/+$/, '')}${path}`
  }
}

/** `{class: AS3, declaration: {class: ADC, …}}`, or the inner one alone, which is what the device shows. */
function declarationOf(value: unknown): unknown {
  const { declaration } = value as { declaration?: unknown }
  return declaration ?? value
}

function resultsOf(answer: HttpAnswer, { method, url }: HttpRequest): readonly As3Result[] {
  const { results } = parseJsonBody(answer.text, url) as { results?: readonly As3Result[] }
  if (!Array.isArray(results)) throw new DriverError(`${method} ${url}: the answer has no results`)
  return results
}

function shownResult({ tenant, code, message, response, errors = [] }: As3Result): string {
  return [tenant ?? '', String(code), message, response ?? '', ...errors].filter(part => part !== '').join(' ')
}
