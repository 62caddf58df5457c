// What a control plane reads from files of its machine, at the start and again at each reload (SIGHUP, the agent's API): the mesh file, the
// definitions of the agent's configuration, the CA's files, tokens and TLS. Made and opened by `ControlPlane`.
// Invariant: a file that is not good changes nothing, and what is good beside it is in force all the same.
import type { CertificateAuthority } from '../mtls/ca/authority.js'
import type { AclSystem } from './acl/acl-system.js'
import { type AgentDefinitions, applyAgentDefinitions } from './agent-definitions.js'
import type { AuditOutcome } from './audit/audit-log.js'
import type { IntentionAction } from './config-entries/types.js'
import type { Configured } from './control-plane-options.js'
import { type ApplyReport, type DeclaredTargets, refusedSet } from './declared-items.js'
import { joinErrors } from './http-api/respond.js'
import type { ControlLogger } from './log-feed.js'
import { knownPolicy, MeshFile } from './mesh-file.js'
import type { PortTls } from './port-tls.js'

export interface LocalFilesParts {
  readonly targets: DeclaredTargets
  /** Path of mesh.yaml. */
  readonly meshFile: string | undefined
  readonly configured: (() => Configured) | undefined
  readonly ca: CertificateAuthority
  readonly acl: AclSystem | undefined
  /** Undefined: nothing is served over TLS yet. */
  portTls(): PortTls | undefined
  defaultPolicy(): IntentionAction
  setDefaultPolicy(policy: IntentionAction): void
  /** In the audit trail. */
  note(subject: string, outcome: AuditOutcome): void
  onMeshFileErrors(count: number): void
  readonly log: ControlLogger
}

export class LocalFiles {
  private meshFile: MeshFile | undefined

  constructor(private readonly parts: LocalFilesParts) {}

  /** The mesh file, then `definitions`. Rejects with one line where the mesh can't begin with them. */
  async open(definitions: AgentDefinitions | undefined): Promise<void> {
    if (this.parts.meshFile !== undefined) await this.openMeshFile(this.parts.meshFile)
    if (definitions !== undefined) await this.loadDefinitions(definitions)
  }

  /** Reads all of them again. Resolves with what is wrong with them; what is good of them is in force. */
  async reload(): Promise<string | undefined> {
    const { meshFile: path, configured, ca, acl, log } = this.parts
    const file = this.meshFile
    const problems: string[] = []
    const attempt = async (what: string, task: () => Promise<void>): Promise<void> => {
      try {
        await task()
      } catch (error) {
        problems.push((error as Error).message)
        log.error({}, `reload: ${what}: ${(error as Error).message}`)
      }
    }
    if (path !== undefined && file !== undefined) {
      await attempt(path, async () => {
        const report = await file.load()
        this.reportMeshFile(path, report)
        if (report.errors.length > 0) problems.push(`${path}: ${joinErrors(report.errors)}`)
      })
    }
    await attempt('CA files', () => ca.checkFiles())
    await attempt('configuration', async () => {
      const read = configured?.()
      acl?.agentTokens.configure(read?.agentTokens ?? {})
      if (read?.definitions !== undefined) await this.loadDefinitions(read.definitions)
    })
    await attempt('TLS', async () => this.parts.portTls()?.reload())
    return problems.length === 0 ? undefined : problems.join('; ')
  }

  close(): void {
    this.meshFile?.close()
  }

  private async openMeshFile(path: string): Promise<void> {
    const { targets, defaultPolicy, setDefaultPolicy, onMeshFileErrors } = this.parts
    const file = new MeshFile(path, { ...targets, setDefaultPolicy }, report => {
      onMeshFileErrors(report.errors.length)
      this.reportMeshFile(path, report)
    })
    const known = await knownPolicy(targets.store, defaultPolicy())
    const report = await file.load().catch((error: Error): ApplyReport => {
      if (known === undefined) throw error
      return refusedSet([{ path: '', reason: error.message }])
    })
    if (report.errors.length > 0) {
      // A mesh that has run before goes on with what it knows; one that begins with a file that is not good does not begin.
      if (known === undefined) throw new Error(`${path}: ${joinErrors(report.errors)}`)
      onMeshFileErrors(report.errors.length)
      setDefaultPolicy(known)
    }
    this.reportMeshFile(path, report)
    file.watch()
    this.meshFile = file
  }

  /** Rejects with one line when one of them is wrong. */
  private async loadDefinitions(definitions: AgentDefinitions): Promise<void> {
    const { targets, log } = this.parts
    const { applied, removed, unchanged, errors } = await applyAgentDefinitions(definitions, targets)
    if (errors.length > 0) throw new Error(joinErrors(errors))
    log.info({ applied, removed, unchanged }, 'definitions of the configuration read')
  }

  private reportMeshFile(path: string, report: ApplyReport): void {
    const { log, note } = this.parts
    const { applied, removed, unchanged, errors, warnings } = report
    if (warnings.length > 0) log.warn({ path }, `mesh file: ${joinErrors(warnings)}`)
    if (errors.length > 0) note(`${path}: ${joinErrors(errors)}`, 'refused')
    else if (applied + removed > 0) note(`${path}: ${applied} applied, ${removed} removed`, 'done')
    if (errors.length > 0) log.error({ path, applied, removed }, `mesh file not applied, the state of before serves: ${joinErrors(errors)}`)
    else log.info({ path, applied, removed, unchanged }, 'mesh file read')
  }
}
