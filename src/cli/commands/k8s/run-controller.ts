// `outrigger k8s controller` as a process: custom resources into config entries, one controller a kind. Called by k8s.ts.
import { EntryController } from '../../../kubernetes/resources/entry-controller.js'
import { RESOURCE_KINDS } from '../../../kubernetes/resources/resource-kinds.js'
import type { ApiFlags } from '../../command-line/api-flags.js'
import type { CommandIo } from '../../command-line/command-io.js'
import { type ControlApi, RefusedError } from '../../command-line/control-api.js'
import type { ClusterFlags } from './cluster-flags.js'
import { runLeading } from './leading.js'

export interface ControllerFlags extends ApiFlags, ClusterFlags {}

const LEASE = 'outrigger-k8s-controller'
const RESYNC_MS = 60_000
const BAD_REQUEST = 400

export function runController(flags: ControllerFlags, api: ControlApi, io: CommandIo): Promise<void> {
  return runLeading(LEASE, flags, io, ({ client, problem }) =>
    RESOURCE_KINDS.map(kind => new EntryController({ client, api, kind, everyMs: RESYNC_MS, onProblem: problem, isRefusal })),
  )
}

/** A missing right may be granted, a failure pass: those are tried again. */
function isRefusal(error: unknown): boolean {
  return error instanceof RefusedError && error.statusCode === BAD_REQUEST
}
