// Who asks S3: AWS's environment variables, or a shared credentials file (`[profile]`, aws_access_key_id = …). Called for each request, so that
// a file that is written anew is used at once. What needs a network call of its own (instance roles) is not here.
import type { S3Credentials } from './sigv4.js'

const DEFAULT_PROFILE = 'default'

/** `env` and `readText`: the environment and the files of the process. */
export interface CredentialSources {
  env(name: string): string | undefined
  readText(path: string): string
  /** Stands over the environment. */
  readonly file?: string | undefined
}

/** Throws one line, which quotes no secret. */
export function s3Credentials({ env, readText, file }: CredentialSources): S3Credentials {
  const path = file ?? (env('AWS_ACCESS_KEY_ID') === undefined ? env('AWS_SHARED_CREDENTIALS_FILE') : undefined)
  const profile = env('AWS_PROFILE') ?? DEFAULT_PROFILE
  const values: (name: string) => string | undefined =
    path === undefined ? name => env(name.toUpperCase()) : name => readProfile(readText(path), profile, path).get(name)
  const [accessKeyId, secretAccessKey, sessionToken] = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'].map(values)
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new Error(
      path === undefined
        ? 'S3 needs credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a credentials file'
        : `${path}: [${profile}] lacks aws_access_key_id or aws_secret_access_key`,
    )
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
}

function readProfile(text: string, profile: string, path: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  let isWanted = false
  let isThere = false
  for (const raw of text.split('\n')) {
    const line = raw.trim()
    const section = /^\[\s*(.+?)\s*\]$/.exec(line)?.[1]
    if (section !== undefined) {
      isWanted = section === profile
      isThere ||= isWanted
    } else if (isWanted && !line.startsWith('#') && !line.startsWith(';') && line.includes('=')) {
      const at = line.indexOf('=')
      values.set(line.slice(0, at).trim(), line.slice(at + 1).trim())
    }
  }
  if (!isThere) throw new Error(`${path}: has no section [${profile}]`)
  return values
}
