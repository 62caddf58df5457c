service {
  name = "web"
  port = 28186
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28192
      proxy {
        upstreams = [
          { destination_name = "shop", local_bind_port = 28187 },
          { destination_name = "old-shop", local_bind_port = 28191 },
        ]
      }
    }
  }
}
