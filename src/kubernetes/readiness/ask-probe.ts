// One question of a readiness probe, as the kubelet puts it: an HTTP GET that is answered by 200 to 399, or a connection that is taken.
// Called by app-readiness.ts. Invariant: it ends within the probe's time, and a failure is one line that says what was asked.
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import type { AppProbe } from '../inject/app-probes.js'

/** '' = it is ready; else why not. */
export function askProbe(probe: AppProbe, host: string): Promise<string> {
  const failure = probe.http === null ? connected(probe, host) : answered(probe, probe.http, host)
  return failure.then(
    () => '',
    (error: Error) => `${probe.container}: port ${probe.port}${probe.http?.path ?? ''}: ${error.message}`,
  )
}

function connected({ port, timeoutS }: AppProbe, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host })
    const timer = setTimeout(() => socket.destroy(tooLate(timeoutS)), timeoutS * 1000)
    socket.on('error', reject)
    socket.on('connect', () => {
      resolve()
      socket.destroy()
    })
    socket.on('close', () => clearTimeout(timer))
  })
}

function answered({ port, timeoutS }: AppProbe, { path, tls, headers }: NonNullable<AppProbe['http']>, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const given = headers.map(([name, value]): [string, string] => [name, value])
    const options = {
      host,
      port,
      path: path.startsWith('/') ? path : `/${path}`,
      agent: false as const,
      // The kubelet does not look at the certificate either.
      rejectUnauthorized: false,
      headers: { 'User-Agent': 'kube-probe/outrigger', ...Object.fromEntries(given) },
    }
    const request = (tls ? httpsRequest : httpRequest)(options, response => {
      response.resume()
      const { statusCode = 0 } = response
      if (statusCode >= 200 && statusCode < 400) resolve()
      else reject(new Error(`the answer is ${statusCode}`))
      request.destroy()
    })
    const timer = setTimeout(() => request.destroy(tooLate(timeoutS)), timeoutS * 1000)
    request.on('error', reject)
    request.on('close', () => clearTimeout(timer))
    request.end()
  })
}

function tooLate(timeoutS: number): Error {
  return new Error(`no answer within ${timeoutS} s`)
}
