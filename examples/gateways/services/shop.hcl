service {
  name = "shop"
  port = 28606
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28621
      proxy {
        upstreams = [{ destination_name = "partner", local_bind_port = 28691 }]
      }
    }
  }
}
