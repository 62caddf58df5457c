service {
  name = "web"
  port = 28906
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28920
      proxy {
        upstreams = [{ destination_name = "shop", local_bind_port = 28991 }]
      }
    }
  }
}
