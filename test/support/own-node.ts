// This server's own node for tests that make a catalog without a control plane.
import { ownNode } from '../../src/control/http-api/shapes.js'

export const OWN = ownNode({ id: '11111111-2222-3333-4444-555555555555', name: 'node-1', address: '127.0.0.1', datacenter: 'dc1' })
