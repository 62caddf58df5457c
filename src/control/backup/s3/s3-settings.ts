// `s3://bucket/prefix?endpoint=https://…&region=…&path-style=true&ca-file=…`: which bucket, and how it is reached. One text for the flag, the
// configuration file and the commands. Called by open-target.ts. Invariant: a parameter that is not known is refused, not left out.

export interface S3Settings {
  readonly bucket: string
  /** '' or ending in a slash. */
  readonly prefix: string
  readonly endpoint: URL
  readonly region: string
  /** The bucket stands in the path and not before the host. */
  readonly pathStyle: boolean
  /** Verifies the endpoint in place of the system's CAs. */
  readonly caFile: string | undefined
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const PREFIX = /^[A-Za-z0-9!_.'()/-]{0,512}$/
const REGION = /^[a-z0-9-]{1,64}$/
const PARAMETERS = ['endpoint', 'region', 'path-style', 'ca-file']

/** Throws one line. */
export function parseS3Settings(place: string, defaultRegion: string): S3Settings {
  const refuse = (reason: string): never => {
    throw new Error(`${place}: ${reason}`)
  }
  const [where = '', query = ''] = place.slice('s3://'.length).split('?', 2)
  const slash = where.indexOf('/')
  const bucket = slash < 0 ? where : where.slice(0, slash)
  const prefix = slash < 0 ? '' : where.slice(slash + 1).replace(/\/+$/, '')
  if (!BUCKET.test(bucket)) refuse('s3:// is followed by the name of a bucket: lower case letters, digits, dots and dashes')
  if (!PREFIX.test(prefix) || (prefix !== '' && prefix.split('/').some(segment => /^\.{0,2}$/.test(segment))))
    refuse(`"${prefix}" is no prefix of object names`)
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys())
    if (!PARAMETERS.includes(name)) refuse(`parameter "${name}" is not known: ${PARAMETERS.join(', ')} are`)
  const region = parameters.get('region') ?? defaultRegion
  if (!REGION.test(region)) refuse(`region "${region}" is no name of a region`)
  const given = parameters.get('endpoint')
  const style = parameters.get('path-style') ?? String(given !== null)
  if (style !== 'true' && style !== 'false') refuse(`path-style "${style}": must be true or false`)
  return {
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint: endpointOf(given ?? `https://s3.${region}.amazonaws.com`, refuse),
    region,
    pathStyle: style === 'true',
    caFile: parameters.get('ca-file') ?? undefined,
  }
}

function endpointOf(text: string, refuse: (reason: string) => never): URL {
  const url = URL.canParse(text) ? new URL(text) : refuse(`endpoint "${text}" is no URL`)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse(`endpoint "${text}": must begin with https:// or http://`)
  if (url.username !== '' || url.password !== '') refuse('endpoint: credentials do not belong in a URL')
  if (url.search !== '' || url.hash !== '') refuse(`endpoint "${text}": has a query`)
  return url
}
