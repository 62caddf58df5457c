// Which namespaces of a cluster are taken: for sidecars (inject/) and for the catalog (sync/). consul-k8s' rules: what is denied goes over what is
// allowed, `*` stands for all.

export interface NamespaceRules {
  readonly allowNamespaces: readonly string[]
  /** Goes over `allowNamespaces`. */
  readonly denyNamespaces: readonly string[]
}

const ALL = '*'
/** Kubernetes' own: a mesh that holds them up holds the cluster up. */
const KUBERNETES_OWN = ['kube-system', 'kube-public']

export function namespaceRules(allowed: readonly string[] = [ALL], denied: readonly string[] = KUBERNETES_OWN): NamespaceRules {
  return { allowNamespaces: allowed, denyNamespaces: denied }
}

/** Why it is not taken, or undefined. */
export function namespaceExcludes(namespace: string, { allowNamespaces, denyNamespaces }: NamespaceRules): string | undefined {
  const names = (list: readonly string[]): boolean => list.includes(ALL) || list.includes(namespace)
  if (names(denyNamespaces)) return `the namespace "${namespace}" is denied`
  return names(allowNamespaces) ? undefined : `the namespace "${namespace}" is not allowed`
}
