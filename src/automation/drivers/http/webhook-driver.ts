// Tells others by a POST, signed as Standard Webhooks says (webhook-id, webhook-timestamp, webhook-signature). Made by drivers.ts.
// Invariant: the id is of the task and its inputs: whoever gets one twice (an answer was lost, another process took over) can tell.
import { webhookHeaders } from '../../../io/webhook-signature.js'
import type { TaskInputs } from '../../answers/data-sources.js'
import type { Webhook } from '../../config/sync-config.js'
import type { TemplateAnswers } from '../../template/catalog-functions.js'
import { Template, type TemplateWorld } from '../../template/template.js'
import type { Applied, ApplyContext, Change, Driver } from '../driver.js'
import { callWithRetries, expectGood, type HttpWorld } from './http-call.js'
import { canonicalText, parseJsonBody } from './json-text.js'
import { basicAuthHeader, readSecret } from './secret-text.js'

export class WebhookDriver implements Driver {
  private readonly template: Template | null

  constructor(
    private readonly task: string,
    private readonly config: Webhook,
    private readonly world: HttpWorld & TemplateWorld,
  ) {
    const { body } = config
    this.template = body === undefined ? null : new Template(body.text, world, { ...body, delimiters: body })
  }

  prepare(answers: TemplateAnswers, inputs: TaskInputs): Change {
    const content = this.template?.render(answers) ?? JSON.stringify(inputs)
    return {
      content,
      preview: async () => ({ changes: true, plan: `POST ${this.config.url}\n${canonicalText(content)}\n` }),
      apply: context => this.apply(content, context),
    }
  }

  private async apply(content: string, { signal, idempotencyKey, trigger }: ApplyContext): Promise<Applied> {
    const { config, world } = this
    const body =
      this.template === null
        ? JSON.stringify({ type: 'sync.task', task: this.task, trigger, data: parseJsonBody(content, this.task) })
        : content
    const secrets = config.secret === undefined ? [] : [readSecret(config.secret, world)]
    const headers = {
      'Content-Type': 'application/json',
      'Idempotency-Key': idempotencyKey,
      ...webhookHeaders(idempotencyKey, world.wallNow(), body, secrets),
      ...basicAuthHeader(config, world),
    }
    const request = { method: 'POST', url: config.url, headers, body }
    const { status } = expectGood(await callWithRetries(config, request, world, signal), request)
    return { changed: true, summary: `POST ${config.url}: ${status}`, output: '' }
  }
}
