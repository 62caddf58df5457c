service {
  name = "shop"
  port = 29088
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 29093
    }
  }
}
