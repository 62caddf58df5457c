service {
  name = "web"
  port = 29086
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 29092
      proxy {
        upstreams = [
          { destination_name = "shop", local_bind_port = 29087 },
          { destination_name = "old-shop", local_bind_port = 29091 },
        ]
      }
    }
  }
}
