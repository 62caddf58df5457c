// An HTTP client of the control plane's rows: connections are kept, so that what is timed is the answer and not the dialling.
import { Agent, request } from 'node:http'

/** `ask` resolves with the status, the text and the index of the answer. At most `maxSockets` requests are under way. */
export function keepAliveClient(base, maxSockets) {
  const agent = new Agent({ keepAlive: true, maxSockets })
  const { hostname, port } = new URL(base)
  const ask = (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const sent = request({ host: hostname, port, method, path, headers, agent }, response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', chunk => {
          text += chunk
        })
        response.once('end', () => resolve({ status: response.statusCode, text, index: response.headers['x-consul-index'] }))
      })
      sent.once('error', reject)
      sent.end(body)
    })
  return { ask, close: () => agent.destroy() }
}
