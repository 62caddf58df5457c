# Rights of `outrigger k8s sync` and `k8s controller`, which share a token in sync.yaml.
node "k8s-sync" { policy = "write" }
node_prefix "" { policy = "read" }
service_prefix "" {
  policy     = "write"
  intentions = "write"
}
operator = "write"
mesh     = "write"
