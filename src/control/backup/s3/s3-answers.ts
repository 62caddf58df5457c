// What S3 answers, as far as `S3Client` asks: a page of a list (ListObjectsV2) and an error. Both are flat XML of known elements, read by their
// names. Invariant: text that has another form is no list; an object that says no key or size is left out.

export interface ListedObjects {
  readonly objects: readonly { readonly key: string; readonly bytes: number }[]
  /** Of the next page; undefined: this was the last one. */
  readonly nextToken: string | undefined
}

/** Undefined: it is no list, or a cut one that does not say how it goes on: the newest backups would be missing in it. */
export function readList(xml: string): ListedObjects | undefined {
  if (!/<ListBucketResult[\s>]/.test(xml)) return undefined
  const objects: { key: string; bytes: number }[] = []
  for (const [, contents] of xml.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)) {
    const key = element(contents!, 'Key')
    const size = element(contents!, 'Size')
    if (key !== '' && /^\d+$/.test(size)) objects.push({ key, bytes: Number(size) })
  }
  const isCut = element(xml, 'IsTruncated') === 'true'
  const nextToken = isCut ? element(xml, 'NextContinuationToken') : undefined
  return nextToken === '' ? undefined : { objects, nextToken }
}

/** Empty texts where it says nothing. */
export function readError(xml: string): { readonly code: string; readonly message: string } {
  const line = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, 300)
  return { code: line(element(xml, 'Code')), message: line(element(xml, 'Message')) }
}

function element(xml: string, name: string): string {
  const start = xml.indexOf(`<${name}>`)
  const end = start < 0 ? -1 : xml.indexOf(`</${name}>`, start)
  return end < 0 ? '' : decoded(xml.slice(start + name.length + 2, end))
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function decoded(text: string): string {
  return text.replaceAll(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|([a-z]{2,4}));/g, (whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? whole
    const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}
