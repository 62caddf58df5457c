// Accept-Encoding (RFC 9110 §12.5.3): which of our encodings a client likes best. Called by compressor.ts.

export type Encoding = 'gzip' | 'br' | 'zstd'

export type EncodingChoice =
  | { readonly kind: 'encoding'; readonly encoding: Encoding; readonly wildcard: boolean }
  | { readonly kind: 'identity' }
  | { readonly kind: 'invalid' }

const IDENTITY: EncodingChoice = { kind: 'identity' }
/** Also where nothing in it is ours, as Envoy counts. */
const INVALID: EncodingChoice = { kind: 'invalid' }

/** Longest list that is read; the rest of it is ignored. */
const MAX_CODINGS = 64

/** `offered` in the order of the filters. Ties go to the client's order, or to ours with `chooseFirst`. */
export function chooseEncoding(header: string, offered: readonly Encoding[], chooseFirst: boolean): EncodingChoice {
  const given = new Map<string, { readonly q: number; readonly place: number }>()
  let place = 0
  for (const part of header.split(',', MAX_CODINGS)) {
    const [name, ...parameters] = part.split(';')
    const coding = name!.trim().toLowerCase()
    if (coding === '') continue
    let q = 1
    for (const parameter of parameters) {
      const match = /^\s*q=(.*)$/i.exec(parameter)
      if (match === null) continue
      const text = match[1]!.trim()
      if (!/^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text)) return INVALID
      q = Number(text)
    }
    const key = coding === 'x-gzip' ? 'gzip' : coding
    if (!given.has(key)) given.set(key, { q, place: place++ })
  }
  const wildcard = given.get('*')
  let best: { encoding: Encoding; q: number; place: number; wildcard: boolean } | null = null
  for (const encoding of offered) {
    const own = given.get(encoding)
    const wish = own ?? wildcard
    if (wish === undefined || wish.q === 0) continue
    const better = best === null || wish.q > best.q || (wish.q === best.q && !chooseFirst && wish.place < best.place)
    if (better) best = { encoding, q: wish.q, place: wish.place, wildcard: own === undefined }
  }
  const identity = given.get('identity')
  if (best === null) return identity === undefined || identity.q === 0 ? INVALID : IDENTITY
  if (identity !== undefined && (identity.q > best.q || (identity.q === best.q && !chooseFirst && identity.place < best.place)))
    return IDENTITY
  return { kind: 'encoding', encoding: best.encoding, wildcard: best.wildcard }
}
