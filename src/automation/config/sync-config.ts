// A configuration of `outrigger sync` once it is read: what CTS's files say, and the drivers that are ours. Types only; made by
// read-sync-config.ts, used by everything in automation/. Invariant: plain and readonly; durations in milliseconds.
import type { CronSchedule } from '../../io/cron.js'
import type { VaultSettings } from '../../vault/vault-settings.js'

export interface SyncConfig {
  /** Of this process, among several and in the audit. */
  readonly id: string
  readonly logLevel: string
  /** Of the status API on loopback; 0 = any free one. */
  readonly port: number
  readonly workingDir: string
  readonly consul: ConsulSettings
  readonly terraform: TerraformSettings
  /** null: templates that ask for secrets are not ready. */
  readonly vault: VaultSettings | null
  readonly highAvailability: HighAvailability | null
  /** For tasks that are created later as well. */
  readonly buffer: BufferPeriod | null
  readonly tasks: readonly TaskConfig[]
}

export interface ConsulSettings {
  readonly address?: string
  readonly token?: string
  readonly tokenFile?: string
  readonly basicAuth?: string
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  readonly serverName?: string
  readonly verify: boolean
}

/** Wait until nothing has changed for `minMs`, `maxMs` since the first change at most. */
export interface BufferPeriod {
  readonly minMs: number
  readonly maxMs: number
}

export interface HighAvailability {
  readonly cluster: string
  /** Folder in the key/value store. */
  readonly parentPath: string
  readonly sessionTtlMs: number
}

export interface TerraformSettings {
  /** The binary, or the folder that holds it; undefined: `terraform`, or else `tofu`, of PATH. */
  readonly path?: string
  /** Where each task has its folder; default: the working directory. */
  readonly workingDir?: string
  readonly log: boolean
  /** `terraform.backend`: its kind and its fields; undefined: the state is a file in the task's folder. */
  readonly backend?: { readonly kind: string; readonly fields: Readonly<Record<string, unknown>> }
  readonly requiredProviders: Readonly<Record<string, unknown>>
  /** Blocks `provider "NAME" {…}` by name. */
  readonly providers: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>
}

export interface TaskConfig {
  readonly name: string
  readonly description: string
  readonly enabled: boolean
  /** null: every change at once. */
  readonly buffer: BufferPeriod | null
  /** null: whatever the driver's templates ask for. */
  readonly condition: Condition | null
  readonly inputs: readonly DataSource[]
  readonly driver: DriverConfig
  /** As it was written, for the API. */
  readonly source: Readonly<Record<string, unknown>>
}

export type Condition = DataSource | { readonly kind: 'schedule'; readonly cron: CronSchedule }

export type DataSource = (ServicesSource | CatalogSource | KvSource | IntentionsSource) & {
  /** Of a condition: whether its data is the module's too. */
  readonly isInput: boolean
}

/** By names, or by a regular expression; neither: all. */
export interface NameSelection {
  readonly names: readonly string[]
  readonly regexp?: string
}

export interface ServicesSource extends NameSelection {
  readonly kind: 'services'
  readonly datacenter?: string
  readonly filter?: string
  readonly tag?: string
  readonly health: 'passing' | 'any'
  readonly userMeta: Readonly<Record<string, string>>
}

export interface CatalogSource {
  readonly kind: 'catalog-services'
  readonly regexp: string
  readonly datacenter?: string
  readonly nodeMeta: Readonly<Record<string, string>>
}

export interface KvSource {
  readonly kind: 'consul-kv'
  readonly path: string
  readonly recurse: boolean
  readonly datacenter?: string
}

export interface IntentionsSource {
  readonly kind: 'intentions'
  readonly datacenter?: string
  readonly sources: NameSelection
  readonly destinations: NameSelection
}

export interface CommandConfig {
  /** With `shell` one text, else the program and its arguments. */
  readonly words: readonly string[]
  readonly shell: boolean
  readonly timeoutMs: number
}

export type DriverConfig = TerraformModule | TemplateFiles | Webhook | JsonEndpoint | As3Target

export interface TerraformModule {
  readonly kind: 'terraform'
  readonly module: string
  readonly version?: string
  readonly providers: readonly string[]
  readonly variableFiles: readonly string[]
  readonly variables: Readonly<Record<string, unknown>>
}

/** All of its files change together, or none does. */
export interface TemplateFiles {
  readonly kind: 'template'
  readonly files: readonly TemplateFile[]
  readonly reload: CommandConfig | null
}

export interface TemplateText {
  readonly text: string
  /** In messages. */
  readonly name: string
  readonly left: string
  readonly right: string
  readonly missingKeyFails: boolean
}

export interface TemplateFile {
  readonly template: TemplateText
  readonly destination: string
  /** Octal bits; undefined: those of the file that is there, or 0644. */
  readonly mode?: number
  /** Names or numbers. */
  readonly owner?: string
  readonly group?: string
  readonly check: CommandConfig | null
  readonly backup: boolean
  readonly createFolders: boolean
}

export interface Retries {
  readonly attempts: number
  readonly timeoutMs: number
}

export interface HttpTarget extends Retries {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly caFile?: string
  readonly verify: boolean
  readonly basicAuth?: { readonly username: string; readonly password: SecretText }
}

/** Given in the file, or by a file or variable of the environment, read when it is used. */
export type SecretText = { readonly text: string } | { readonly file: string } | { readonly env: string }

export interface Webhook extends HttpTarget {
  readonly kind: 'webhook'
  readonly secret?: SecretText
  /** undefined: the event with all inputs as JSON. */
  readonly body?: TemplateText
}

export interface JsonEndpoint extends HttpTarget {
  readonly kind: 'http'
  readonly method: 'PUT' | 'POST' | 'PATCH'
  readonly body: TemplateText
  /** Read before, and written with If-Match, so that nobody else's change is lost. */
  readonly etag: boolean
  readonly contentType: string
  readonly bearerToken?: SecretText
}

export interface As3Target extends HttpTarget {
  readonly kind: 'as3'
  readonly declaration: TemplateText
  /** With a token of the device instead of a password at each request. */
  readonly login: { readonly username: string; readonly password: SecretText; readonly provider: string } | null
  /** How long an asynchronous task of the device may take. */
  readonly taskTimeoutMs: number
}
