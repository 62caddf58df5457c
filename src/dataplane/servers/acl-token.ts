// The ACL token that the dataplane shows: none, one that was given or stands in a file, or that of a login with an auth method. Used by
// ConsulServers, which logs in by it, and by whoever calls a server. Invariants: a file is read again at most once a second and never while
// it cannot be read; one login's token is used with every server until one does not know it, and given back at the end.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { LoginRequestSchema, LoginResponseSchema, LogoutRequestSchema, LogoutResponseSchema } from '../../xds/gen/hashicorp/acl_pb.js'
import type { CredentialSettings } from '../settings/settings.js'
import type { CallMetadata, Method, ServerChannel } from './server-channel.js'

type Login = Extract<CredentialSettings, { kind: 'login' }>

const ACL_SERVICE = '/hashicorp.consul.acl.ACLService'
const LOGIN: Method<typeof LoginRequestSchema, typeof LoginResponseSchema> = {
  path: `${ACL_SERVICE}/Login`,
  request: LoginRequestSchema,
  answer: LoginResponseSchema,
}
const LOGOUT: Method<typeof LogoutRequestSchema, typeof LogoutResponseSchema> = {
  path: `${ACL_SERVICE}/Logout`,
  request: LogoutRequestSchema,
  answer: LogoutResponseSchema,
}
const TOKEN_KEY = 'x-consul-token'
const READ_EVERY_MS = 1_000
const LOGOUT_TIMEOUT_MS = 5_000
/** A server that does not have a new token yet remembers for a while that it is none. */
const AFTER_LOGIN_MS = 100

export class AclToken {
  private readonly settings: CredentialSettings
  private readonly onLogin: (tookMs: number) => void
  private secret: string
  private readAt = Number.NEGATIVE_INFINITY

  constructor(settings: CredentialSettings, onLogin: (tookMs: number) => void) {
    this.settings = settings
    this.onLogin = onLogin
    this.secret = settings.kind === 'static' ? settings.token : ''
  }

  get metadata(): CallMetadata {
    this.readFile()
    return this.secret === '' ? [] : [[TOKEN_KEY, this.secret]]
  }

  /** Logs in, where that is how the token is had and there is none yet. */
  async enter(channel: ServerChannel): Promise<void> {
    const { settings } = this
    if (settings.kind !== 'login' || this.secret !== '') return
    const startedAt = performance.now()
    const { authMethod, namespace, partition, datacenter, meta } = settings
    const request = create(LoginRequestSchema, { authMethod, namespace, partition, datacenter, meta, bearerToken: bearerOf(settings) })
    const { token } = await channel.call(LOGIN, request, [])
    if (token === undefined || token.secretId === '') throw new Error('login: the server answered without a token')
    this.secret = token.secretId
    this.onLogin(performance.now() - startedAt)
    await sleep(AFTER_LOGIN_MS)
  }

  /** A server does not know it (any more); whether the next enter() has another one. */
  refused(): boolean {
    if (this.settings.kind !== 'login') return false
    this.secret = ''
    return true
  }

  /** Gives a login's token back. */
  async leave(channel: ServerChannel): Promise<void> {
    const { settings, secret } = this
    if (settings.kind !== 'login' || secret === '') return
    this.secret = ''
    await channel.call(LOGOUT, create(LogoutRequestSchema, { token: secret, datacenter: settings.datacenter }), [], LOGOUT_TIMEOUT_MS)
  }

  private readFile(): void {
    const { settings } = this
    if (settings.kind !== 'static' || settings.tokenPath === '' || performance.now() - this.readAt < READ_EVERY_MS) return
    this.readAt = performance.now()
    try {
      this.secret = readFileSync(settings.tokenPath, 'utf8').trim()
    } catch (error) {
      // It may be about to be replaced; a dataplane that never had one cannot begin.
      if (this.secret === '') throw new Error(`-static-token-path: ${(error as Error).message}`)
    }
  }
}

function bearerOf({ bearerToken, bearerTokenPath }: Login): string {
  return bearerToken === '' ? readFileSync(bearerTokenPath, 'utf8').trim() : bearerToken
}
