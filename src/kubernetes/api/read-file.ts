// Text of a file that a pod or an operator names: credentials, certificates, kubeconfigs. Used by cluster-config.ts and webhook/certificate-files.ts.
import { readFileSync } from 'node:fs'

/** Throws one line that names the file. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}`)
  }
}
