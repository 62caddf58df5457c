// Secrets of a configuration, read at each use, so that a file that is written anew counts. Called by the drivers of this folder.
import type { HttpTarget, SecretText } from '../../config/sync-config.js'
import { DriverError } from '../driver.js'
import type { HttpWorld } from './http-call.js'

export function readSecret(secret: SecretText, world: HttpWorld): string {
  if ('text' in secret) return secret.text
  if ('file' in secret) return world.readFile(secret.file).trim()
  const value = world.env(secret.env)
  if (value === undefined) throw new DriverError(`environment variable ${secret.env} is not set`)
  return value
}

/** `Authorization: Basic …`, where the target has a user. */
export function basicAuthHeader({ basicAuth }: HttpTarget, world: HttpWorld): Readonly<Record<string, string>> {
  if (basicAuth === undefined) return {}
  return { Authorization: `Basic ${Buffer.from(`${basicAuth.username}:${readSecret(basicAuth.password, world)}`).toString('base64')}` }
}
