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

/** What the address of the console names: a folder (it ends at a slash; '' is the root), or a key, which may end there too. */
export interface KvPlace {
  readonly folder: string
  /** Below the folder; undefined: the folder itself. */
  readonly name: string | undefined
}

/**
 * One step of the console's address, and back: a key begins with `=`, so that none is taken for a folder. It is one step because browsers take
 * the steps `.` and `..` of an address, and those that are empty, for something else than what they say.
 */
export const keyStep = (key: string): string => `=${key}`

/** `steps`: of an address that somebody has typed, too: `app/config`. */
export function placeOfSteps(steps: readonly string[]): KvPlace {
  const isKey = steps.at(-1)?.startsWith('=') === true
  const step = isKey && steps.length > 1 ? `=${[...steps.slice(0, -1), steps.at(-1)!.slice(1)].join('/')}` : steps.join('/')
  if (!step.startsWith('=')) return { folder: step === '' || step.endsWith('/') ? step : `${step}/`, name: undefined }
  const key = step.slice(1)
  const end = key.lastIndexOf('/', key.length - 2) + 1
  return { folder: key.slice(0, end), name: key.slice(end) }
}

/** The folders on the way to one, itself last. */
export function foldersTo(folder: string): { readonly folder: string; readonly name: string }[] {
  const ends = [...folder].flatMap((char, i) => (char === '/' ? [i + 1] : []))
  return ends.map((end, i) => ({ folder: folder.slice(0, end), name: folder.slice(ends[i - 1] ?? 0, end - 1) }))
}

/** As a path of the API: one step, for the same reason. */
export const keyPath = (key: string): string => encodeURIComponent(key)

/** Whether a text field gives the value back as it was: it knows one end of lines. */
export function isEditable(value: string): boolean {
  const ends = value.replaceAll('\r\n', '')
  return !ends.includes('\r') && (!value.includes('\r\n') || !ends.includes('\n'))
}

/** What was typed, with the ends of lines that the value had. */
export function withEndsOf(before: string, typed: string): string {
  return before.includes('\r\n') ? typed.replaceAll('\n', '\r\n') : typed
}

/** Undefined for bytes that are no UTF-8 text. */
export function fromBase64(base64: string): string | undefined {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0))
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
