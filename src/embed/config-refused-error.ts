// Why something could not be started or applied in process: every problem with the place it stands at. Thrown by Sidecar.start,
// ControlPlane.start and apply.

/** One thing that is wrong, and where: a path in the configuration, or '' for all of it. */
export interface ConfigProblem {
  readonly path: string
  readonly reason: string
}

export class ConfigRefusedError extends Error {
  readonly problems: readonly ConfigProblem[]

  constructor(what: string, problems: readonly ConfigProblem[]) {
    super(`${what}: ${problems.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('; ')}`)
    this.name = 'ConfigRefusedError'
    this.problems = problems
  }
}
