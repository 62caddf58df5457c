// Keys of the key-value store as folders, and values as text. Pure.

export interface LevelRow {
  readonly name: string
  readonly isFolder: boolean
}

/** What stands directly in `folder`, of the keys that `?keys&separator=/` names: folders first. */
export function levelOf(keys: readonly string[], folder: string): LevelRow[] {
  return keys
    .filter(key => key.startsWith(folder) && key !== folder)
    .map(key => key.slice(folder.length))
    .map(rest => ({ name: rest.replace(/\/$/, ''), isFolder: rest.endsWith('/') }))
    .sort((a, b) => Number(b.isFolder) - Number(a.isFolder) || (a.name < b.name ? -1 : 1))
}

/** As a path of the API: each step encoded, slashes kept. */
export const keyPath = (key: string): string => key.split('/').map(encodeURIComponent).join('/')

/** Undefined for bytes that are no UTF-8 text. */
export function fromBase64(base64: string): string | undefined {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0))
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
