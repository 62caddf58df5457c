service {
  name = "web"
  port = 28706
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28720
      proxy {
        upstreams = [{ destination_name = "shop", local_bind_port = 28791 }]
      }
    }
  }
}
