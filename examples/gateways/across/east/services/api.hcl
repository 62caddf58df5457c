service {
  name = "api"
  port = 28705
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 28706
    }
  }
}
