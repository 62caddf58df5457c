// One AdmissionReview: what the API server asks (admission.k8s.io/v1), checked, and what it is answered. Called by webhook-server.ts.
// Invariant: whatever arrives ends in an answer with the request's uid, or in a `BadReview` of one line where there is no such uid.

import { type InjectionPolicy, reviewPod } from '../inject/inject-pod.js'
import type { Pod } from '../inject/pod.js'

const API_VERSION = 'admission.k8s.io/v1'
/** Kubernetes' limits of warnings: longer ones are cut there, more than these are dropped. */
const MAX_WARNINGS = 16
const MAX_WARNING_CHARS = 250

/** What cannot be answered as a review: HTTP 400. */
export class BadReview extends Error {}

export interface ReviewAnswer {
  readonly apiVersion: string
  readonly kind: 'AdmissionReview'
  readonly response: {
    readonly uid: string
    readonly allowed: boolean
    readonly status?: { readonly code: number; readonly message: string }
    readonly warnings?: readonly string[]
    readonly patchType?: 'JSONPatch'
    /** Base64. */
    readonly patch?: string
  }
}

export interface Reviewed {
  readonly answer: ReviewAnswer
  /** For the log. */
  readonly verdict: 'untouched' | 'injected' | 'denied'
  readonly pod: string
  readonly reason: string
}

type Fields = Readonly<Record<string, unknown>>

export function answerReview(body: string, policy: InjectionPolicy): Reviewed {
  const request = requestOf(body)
  const uid = textOf(request['uid'])
  if (uid === '') throw new BadReview('request.uid: is missing')
  const namespace = textOf(request['namespace'])
  const { resource = '', group = '' } = (fieldsOf(request['resource']) ?? {}) as { resource?: string; group?: string }
  if (group !== '' || resource !== 'pods') return untouched(uid, resource, [`outrigger looks at pods only, not at ${resource}`])
  if (request['operation'] !== 'CREATE') return untouched(uid, 'pod', [])
  const { pod, problem } = podOf(request['object'])
  if (pod === undefined) return denied(uid, namespace, problem, [])
  const name = `${namespace}/${pod.metadata?.name ?? pod.metadata?.generateName ?? ''}`
  const review = reviewPod(pod, namespace, policy)
  const warnings = cut(review.warnings)
  if (review.verdict === 'denied') return denied(uid, name, review.reason, warnings)
  if (review.verdict === 'untouched') return untouched(uid, name, warnings)
  const patch = Buffer.from(JSON.stringify(review.patch)).toString('base64')
  return {
    answer: answer({ uid, allowed: true, ...said(warnings), patchType: 'JSONPatch', patch }),
    verdict: 'injected',
    pod: name,
    reason: '',
  }
}

function requestOf(body: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    throw new BadReview('the body is no JSON')
  }
  const review = fieldsOf(value)
  if (review?.['kind'] !== 'AdmissionReview') throw new BadReview('kind: must be AdmissionReview')
  const version = textOf(review['apiVersion'])
  if (version !== API_VERSION)
    throw new BadReview(`apiVersion "${version}": must be ${API_VERSION} (admissionReviewVersions of the webhook's configuration: [v1])`)
  const request = fieldsOf(review['request'])
  if (request === undefined) throw new BadReview('request: is missing')
  return request
}

/** The parts that injection reads, of the types that it takes them for. */
function podOf(value: unknown): { readonly pod?: Pod; readonly problem: string } {
  const pod = fieldsOf(value)
  const spec = fieldsOf(pod?.['spec'])
  const metadata = fieldsOf(pod?.['metadata'])
  if (pod === undefined || spec === undefined) return { problem: 'object.spec: is missing' }
  const lists = ['containers', 'initContainers', 'volumes']
  for (const list of lists) {
    const items = spec[list]
    if (items === undefined || items === null) continue
    if (!Array.isArray(items) || items.some(item => textOf(fieldsOf(item)?.['name']) === ''))
      return { problem: `object.spec.${list}: must be a list of objects with names` }
  }
  if (!Array.isArray(spec['containers']) || spec['containers'].length === 0) return { problem: 'object.spec.containers: is empty' }
  for (const map of ['annotations', 'labels']) {
    const pairs = metadata?.[map]
    if (pairs === undefined || pairs === null) continue
    if (Object.values(fieldsOf(pairs) ?? { '': 0 }).some(text => typeof text !== 'string'))
      return { problem: `object.metadata.${map}: must be an object of texts` }
  }
  // A null is what the API server writes for none, here and there.
  return { pod: JSON.parse(JSON.stringify(pod, (_, each) => (each === null ? undefined : each))) as Pod, problem: '' }
}

function answer(response: ReviewAnswer['response']): ReviewAnswer {
  return { apiVersion: API_VERSION, kind: 'AdmissionReview', response }
}

function untouched(uid: string, pod: string, warnings: readonly string[]): Reviewed {
  return { answer: answer({ uid, allowed: true, ...said(warnings) }), verdict: 'untouched', pod, reason: '' }
}

function denied(uid: string, pod: string, reason: string, warnings: readonly string[]): Reviewed {
  return {
    answer: answer({ uid, allowed: false, status: { code: 400, message: reason }, ...said(warnings) }),
    verdict: 'denied',
    pod,
    reason,
  }
}

function said(warnings: readonly string[]): { warnings?: readonly string[] } {
  return warnings.length === 0 ? {} : { warnings }
}

function cut(warnings: readonly string[]): string[] {
  const short = warnings.map(text => (text.length <= MAX_WARNING_CHARS ? text : `${text.slice(0, MAX_WARNING_CHARS - 1)}…`))
  if (short.length <= MAX_WARNINGS) return short
  return [...short.slice(0, MAX_WARNINGS - 1), `and ${short.length - MAX_WARNINGS + 1} warnings more`]
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
