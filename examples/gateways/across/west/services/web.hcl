service {
  name = "web"
  port = 28715
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 28716
      proxy {
        upstreams = [{ destination_name = "api", destination_peer = "east", local_bind_port = 28791 }]
      }
    }
  }
}
