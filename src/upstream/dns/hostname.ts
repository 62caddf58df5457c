// Which names may be asked for. Checked at config and again at lookup.

/**
 * Why `hostname` cannot be asked for, or null: a NUL or other byte that C code would read differently never reaches the resolver
 * (CVE-2026-48930).
 */
export function hostnameProblem(hostname: string): string | null {
  const name = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
  if (name.length === 0 || name.length > 253) return `hostname must have 1 to 253 characters, has ${name.length}`
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    const plain =
      (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f
    if (!plain && code !== 0x2e) return `hostname has the character 0x${code.toString(16).padStart(2, '0')} at ${i}`
  }
  for (const label of name.split('.')) {
    if (label.length === 0 || label.length > 63) return `hostname has a label of ${label.length} characters`
  }
  return null
}
