// The problems of a bootstrap with the place of each: `file:line:column: path: reason`. Used by run-proxy.ts for what it prints; the texts are
// looked through only once there is a problem.

import { BootstrapPositions, type ConfigError, type Position, WITHOUT_EFFECT } from '../sidecar/sidecar.js'
import type { ProxyFlags } from './proxy-flags.js'

export function describe({ path, reason }: ConfigError): string {
  return path === '' ? reason : `${path}: ${reason}`
}

/** One line for all fields of which the same is to be said. */
export function inBrief(problems: readonly ConfigError[]): string[] {
  const paths = new Map<string, string[]>()
  for (const { path, reason } of problems) paths.set(reason, [...(paths.get(reason) ?? []), path])
  return [...paths].map(([reason, named]) =>
    named.length > 1 || reason === WITHOUT_EFFECT ? `${reason}: ${named.join(', ')}` : describe({ path: named[0]!, reason }),
  )
}

export class LocatedErrors {
  private readonly names: readonly string[]
  private readonly texts: readonly string[]
  private positions: readonly BootstrapPositions[] | null = null

  /** `texts`: as they are merged, the file first. */
  constructor({ configPath, configYaml }: ProxyFlags, texts: readonly string[]) {
    this.names = [...(configPath === '' ? [] : [configPath]), ...(configYaml === '' ? [] : ['--config-yaml'])]
    this.texts = texts
  }

  describe(error: ConfigError): string {
    const place = this.placeOf(error.path)
    return place === '' ? describe(error) : `${place}: ${describe(error)}`
  }

  /** The text that says most of the path; of two, the one that is merged over the other. */
  private placeOf(path: string): string {
    if (path === '') return ''
    this.positions ??= this.texts.map(text => new BootstrapPositions(text))
    let best: (Position & { readonly name: string }) | null = null
    this.positions.forEach((positions, i) => {
      const found = positions.find(path)
      if (found !== null && (best === null || found.depth >= best.depth))
        best = { ...found, name: this.names[i] ?? '--spiffe-endpoint-socket' }
    })
    const place = best as (Position & { readonly name: string }) | null
    return place === null ? '' : `${place.name}:${place.line}:${place.column}`
  }
}
