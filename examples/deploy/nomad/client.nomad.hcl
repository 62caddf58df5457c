# What a Nomad agent's configuration says of our control plane, or of our agent on its machine: that is Consul to it.
consul {
  address      = "127.0.0.1:8500"
  grpc_address = "127.0.0.1:8502"
}

client {
  enabled = true

  meta {
    connect.log_level         = "info"
    connect.proxy_concurrency = "1"
  }
}
