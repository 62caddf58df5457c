service {
  name = "shop"
  port = 28188
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28193
    }
  }
}
