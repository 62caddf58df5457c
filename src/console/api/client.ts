// The HTTP API as the pages ask it: the session's token on every request, JSON out, the server's own line of text as the error.
import { currentToken } from './session.js'

export class ApiError extends Error {
  constructor(
    /** 0: nobody answered. */
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

export interface Answer<T> {
  readonly value: T
  /** X-Consul-Index; 0 where there is none. */
  readonly index: number
  readonly warnings: readonly string[]
}

export async function ask<T>(path: string, signal?: AbortSignal): Promise<Answer<T>> {
  return send<T>('GET', path, undefined, signal)
}

/** Throws where nobody knows the token. */
export async function tryToken(token: string): Promise<void> {
  await request('GET', '/v1/outrigger/console', token)
}

/** Text goes as it is, everything else as JSON. */
export function send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer<T>> {
  return request<T>(method, path, currentToken(), body, signal)
}

async function request<T>(method: string, path: string, token: string, body?: unknown, signal?: AbortSignal): Promise<Answer<T>> {
  // No header takes it, and no server made it.
  if (!/^[\x20-\x7e]*$/.test(token)) throw new ApiError(403, 'ACL not found')
  const response = await fetch(path, {
    method,
    headers: token === '' ? {} : { 'X-Consul-Token': token },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: Error) => {
    if (error.name === 'AbortError') throw error
    throw new ApiError(0, 'the control plane does not answer')
  })
  const text = await response.text()
  if (!response.ok) throw new ApiError(response.status, text === '' ? `status ${response.status}` : text)
  const warning = response.headers.get('x-consul-warning')
  return {
    value: (text === '' ? null : JSON.parse(text)) as T,
    index: Number(response.headers.get('x-consul-index') ?? 0),
    warnings: warning === null ? [] : [warning],
  }
}

/** One step of a path. */
export const segment = (name: string): string => encodeURIComponent(name)
