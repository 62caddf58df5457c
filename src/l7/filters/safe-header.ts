// Headers that an external service tells us to set on a request or response. The service is trusted to decide, not to break the
// message: what is no field name or value (RFC 9110 §5.1, §5.5), and framing fields, is left out. Used by ext_authz and ratelimit.

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Fields that say where a message ends or how its connection is used: never another's to set. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'te', 'trailer', 'proxy-connection'])

export function isSafeHeader(name: string, value: string): boolean {
  return TOKEN.test(name) && !FRAMING.has(name.toLowerCase()) && !/[\0\r\n]|[^\0-\xff]/.test(value)
}
