// A server of the dataplane's own pages bound, or the flag named that gave it an address which can't be had. Used by merged-metrics.ts and lifecycle.ts.
import type { Server } from 'node:http'

export function listenOn(server: Server, host: string, port: number, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(new Error(`${flag} ${port}: cannot bind ${host}:${port}: ${error.message}`)))
    server.listen(port, host, () => {
      server.removeAllListeners('error')
      // A connection that cannot be accepted is not the end of the server.
      server.on('error', () => {})
      resolve()
    })
  })
}
