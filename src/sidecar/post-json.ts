// One POST with a JSON body to a cluster, as discovery over REST sends it: from what RestClient asks to the proxy's own HTTP client.

import type { AsyncHttpClient } from '../l7/client/async-client.js'
import { HeaderList } from '../l7/codec/header-list.js'
import type { RestAnswer } from '../xds/client/rest-client.js'

/** Returns the way to cancel it; then nothing is called back. */
export function postJson(
  client: AsyncHttpClient,
  cluster: string,
  { path, body, timeoutMs }: { readonly path: string; readonly body: Buffer; readonly timeoutMs: number },
  callback: (answer: RestAnswer) => void,
): () => void {
  const headers = HeaderList.of(['content-type', 'application/json'])
  const call = client.send(cluster, { method: 'POST', path, authority: cluster, headers, body, timeoutMs }, result => {
    if (result.kind === 'response') callback({ ok: true, status: result.status, body: result.body })
    else callback({ ok: false, reason: `did not answer: ${result.message}` })
  })
  return () => call.cancel()
}
