// Which version of its service an instance is: the one rule, for the control plane's lists and the console's tables. Pure.

/** A note of the operator's, or a tag that looks like one. */
export function instanceVersion(
  meta: Readonly<Record<string, string>> | null | undefined,
  tags: readonly string[] | null | undefined,
): string | undefined {
  return meta?.['version'] ?? tags?.find(tag => /^v\d/.test(tag))
}
