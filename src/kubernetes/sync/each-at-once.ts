// Many requests, some at a time. Used by sync/ and resources/. Invariant: one that fails keeps none of the others from being tried.
const AT_ONCE = 16

/** All are tried; then the first failure is thrown. */
export async function eachAtOnce<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  for (let i = 0; i < items.length; i += AT_ONCE)
    await Promise.all(items.slice(i, i + AT_ONCE).map(item => act(item).catch((error: unknown) => void failures.push(error))))
  if (failures.length > 0) throw failures[0]
}
