// An HTTP check: 2xx passes, 429 warns, everything else is critical; redirects are followed unless told not to. Run by health-checks.ts.

import * as http from 'node:http'
import * as https from 'node:https'
import { serverNameOptions } from '../../../io/server-name.js'
import type { CheckDefinition } from '../check-definition.js'
import type { CheckOutcome } from './check-outcome.js'

const MAX_REDIRECTS = 10

export async function httpCheck(check: CheckDefinition, signal: AbortSignal): Promise<CheckOutcome> {
  let url = new URL(check.HTTP)
  for (let hop = 0; ; hop++) {
    const answer = await requestOnce(check, url, signal)
    const redirect = answer.code >= 300 && answer.code < 400 && answer.location !== undefined && !check.DisableRedirects
    if (redirect && hop < MAX_REDIRECTS && URL.canParse(answer.location!, url.href)) {
      url = new URL(answer.location!, url)
      if (url.protocol === 'http:' || url.protocol === 'https:') continue
    }
    const status = answer.code >= 200 && answer.code < 300 ? 'passing' : answer.code === 429 ? 'warning' : 'critical'
    return { status, output: `HTTP ${check.Method} ${check.HTTP}: ${answer.code} ${answer.reason} Output: ${answer.body}` }
  }
}

interface Answer {
  readonly code: number
  readonly reason: string
  readonly location: string | undefined
  readonly body: string
}

function requestOnce(check: CheckDefinition, url: URL, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method: check.Method, headers: headersOf(check), signal, agent: false as const }
    const servername = check.TLSServerName === '' ? {} : serverNameOptions(check.TLSServerName)
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...servername, rejectUnauthorized: !check.TLSSkipVerify })
        : http.request(url, options)
    request.once('error', reject)
    request.once('response', response => {
      const chunks: Buffer[] = []
      let bytes = 0
      const finish = (): void =>
        resolve({
          code: response.statusCode ?? 0,
          reason: response.statusMessage ?? '',
          location: response.headers.location,
          body: Buffer.concat(chunks).toString('utf8', 0, check.OutputMaxSize),
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes < check.OutputMaxSize) return
        finish()
        response.destroy()
      })
      response.once('end', finish)
      response.once('error', reject)
    })
    request.end(check.Body)
  })
}

function headersOf(check: CheckDefinition): http.OutgoingHttpHeaders {
  const headers: http.OutgoingHttpHeaders = { 'user-agent': 'Consul Health Check', accept: 'text/plain, text/*, */*' }
  for (const [name, values] of Object.entries(check.Header)) {
    // A request has one Host; the others may be lists.
    headers[name.toLowerCase()] = name.toLowerCase() === 'host' ? (values[0] ?? '') : [...values]
  }
  return headers
}
