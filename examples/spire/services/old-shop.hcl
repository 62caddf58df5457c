service {
  name = "old-shop"
  port = 28190
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28194
    }
  }
}
