// Keeps a document of another's HTTP API as a template says: reads it, and writes it where it differs, under the ETag that was read.
// Made by drivers.ts. Invariant: with `etag` nobody else's change in between is overwritten: then it is read and compared again.
import type { JsonEndpoint } from '../../config/sync-config.js'
import type { TemplateAnswers } from '../../template/catalog-functions.js'
import { Template, type TemplateWorld } from '../../template/template.js'
import { type Applied, type Change, type Driver, DriverError, type Preview } from '../driver.js'
import { textDiff } from '../text-diff.js'
import { callWithRetries, expectGood, type HttpAnswer, type HttpWorld } from './http-call.js'
import { canonicalText, parseJsonBody } from './json-text.js'
import { basicAuthHeader, readSecret } from './secret-text.js'

const NOT_FOUND = 404
const PRECONDITION_FAILED = 412
const MAX_CONFLICTS = 3

export class JsonDriver implements Driver {
  private readonly template: Template

  constructor(
    private readonly config: JsonEndpoint,
    private readonly world: HttpWorld & TemplateWorld,
  ) {
    const { body } = config
    this.template = new Template(body.text, world, { ...body, delimiters: body })
  }

  prepare(answers: TemplateAnswers): Change {
    const content = this.template.render(answers)
    return {
      content,
      preview: signal => this.preview(content, signal),
      apply: ({ signal, idempotencyKey }) => this.apply(content, idempotencyKey, signal),
    }
  }

  private async preview(content: string, signal: AbortSignal): Promise<Preview> {
    const { url, method, etag } = this.config
    if (!etag) return { changes: true, plan: `${method} ${url}\n${canonicalText(content)}\n` }
    const there = await this.read(signal)
    const plan = textDiff(there === null ? '' : canonicalText(there.text), canonicalText(content), url)
    return { changes: plan !== '', plan }
  }

  private async apply(content: string, idempotencyKey: string, signal: AbortSignal): Promise<Applied> {
    const { config } = this
    if (config.contentType.includes('json')) parseJsonBody(content, config.body.name)
    for (let conflicts = 0; ; conflicts++) {
      const there = config.etag ? await this.read(signal) : null
      if (there !== null && canonicalText(there.text) === canonicalText(content))
        return { changed: false, summary: `${config.url} is as wanted`, output: '' }
      const tag = there?.headers.etag
      const guard: Record<string, string> = !config.etag
        ? {}
        : there === null
          ? { 'If-None-Match': '*' }
          : tag === undefined
            ? {}
            : { 'If-Match': tag }
      const headers = { ...this.headers(), 'Content-Type': config.contentType, 'Idempotency-Key': idempotencyKey, ...guard }
      const request = { method: config.method, url: config.url, headers, body: content }
      const answer = await callWithRetries(config, request, this.world, signal)
      if (answer.status !== PRECONDITION_FAILED) {
        expectGood(answer, request)
        return { changed: true, summary: `${config.method} ${config.url}: ${answer.status}`, output: '' }
      }
      if (conflicts === MAX_CONFLICTS) throw new DriverError(`${config.url}: others change it as often as it is written`)
    }
  }

  /** null where it is not there. */
  private async read(signal: AbortSignal): Promise<HttpAnswer | null> {
    const request = { method: 'GET', url: this.config.url, headers: { ...this.headers(), Accept: this.config.contentType } }
    const answer = await callWithRetries(this.config, request, this.world, signal)
    return answer.status === NOT_FOUND ? null : expectGood(answer, request)
  }

  private headers(): Readonly<Record<string, string>> {
    const { bearerToken } = this.config
    return bearerToken === undefined
      ? basicAuthHeader(this.config, this.world)
      : { Authorization: `Bearer ${readSecret(bearerToken, this.world)}` }
  }
}
