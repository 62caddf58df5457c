// The parts of an HttpUri that a request of our own is made of. Used by jwt_authn (key sets) and oauth2 (tokens).

/** `https://host:port/path?query` -> authority and path; a URI without a scheme begins with its host. */
export function splitUri(uri: string): { authority: string; path: string } {
  const scheme = uri.indexOf('://')
  const rest = scheme === -1 ? uri : uri.slice(scheme + 3)
  const slash = rest.search(/[/?#]/)
  if (slash === -1) return { authority: rest, path: '/' }
  const path = rest.slice(slash)
  return { authority: rest.slice(0, slash), path: path.startsWith('/') ? path : `/${path}` }
}
