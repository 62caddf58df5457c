service {
  name = "web"
  port = 29031
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 29032
      proxy {
        upstreams = [{ destination_name = "shop", local_bind_port = 29041 }]
      }
    }
  }
}
