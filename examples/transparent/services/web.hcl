service {
  name = "web"
  port = 28808
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28823
    }
  }
}
