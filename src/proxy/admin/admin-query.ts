// The query of an admin request, and a form's body, as Envoy reads them: `&` and `=` part, percent signs decode, a plus is a plus (a
// `filter` is a regex). Pure.

/** Parameters of one request; what is beyond is not looked at. */
const MAX_PARAMETERS = 1000

export function parseAdminQuery(text: string): URLSearchParams {
  const query = new URLSearchParams()
  if (text === '') return query
  for (const part of text.split('&', MAX_PARAMETERS)) {
    if (part === '') continue
    const equals = part.indexOf('=')
    query.append(decode(equals === -1 ? part : part.slice(0, equals)), equals === -1 ? '' : decode(part.slice(equals + 1)))
  }
  return query
}

/** Each escape by itself: one that is none stays as it stands. */
function decode(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/(?:%[\da-f]{2})+/gi, escapes => Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8'))
}

/** Escapes of characters that need none are taken off the path, as the connection manager of Envoy's admin does it. */
export function normalizeAdminTarget(target: string): string {
  if (!target.includes('%')) return target
  const end = target.indexOf('?')
  const path = end === -1 ? target : target.slice(0, end)
  const plain = path.replace(/%[\da-f]{2}/gi, escaped => {
    const char = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return /[\w.~-]/.test(char) ? char : escaped
  })
  return end === -1 ? plain : plain + target.slice(end)
}
