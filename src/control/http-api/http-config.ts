// What Consul's agent configuration says of the HTTP API as a whole (`http_config`): headers of every answer, endpoints that are not served, and
// who may write. Called by server.ts.
import { BlockList, isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { HttpConfig } from './context.js'
import { HttpError } from './respond.js'

/** Throws one line that names the network at fault. */
export function applyHttpConfig(
  app: FastifyInstance,
  { responseHeaders = {}, blockEndpoints = [], allowWriteFrom = [] }: HttpConfig,
): void {
  const writers = allowWriteFrom.length === 0 ? undefined : networks(allowWriteFrom)
  if (Object.keys(responseHeaders).length > 0) {
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.headers(responseHeaders)
      return payload
    })
  }
  if (blockEndpoints.length === 0 && writers === undefined) return
  app.addHook('onRequest', async request => {
    const path = decoded(request.url.split('?')[0]!)
    if (blockEndpoints.some(blocked => path.startsWith(blocked))) throw new HttpError(403, 'Endpoint is blocked by agent configuration')
    if (writers !== undefined && request.method !== 'GET' && request.method !== 'HEAD' && !isIn(writers, request.socket.remoteAddress))
      throw new HttpError(403, 'Access is restricted')
  })
}

/** As a route or a key has it: `/v1/%61gent` is no way around. What can't be decoded leads nowhere. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function networks(texts: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of texts) {
    const [address = '', bits = ''] = text.split('/')
    const family = isIP(address)
    if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
      throw new Error(`http_config.allow_write_http_from "${text}": must be a network such as 10.0.0.0/8`)
    list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

function isIn(list: BlockList, remote = ''): boolean {
  const address = remote.replace(/^::ffff:/, '')
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}
