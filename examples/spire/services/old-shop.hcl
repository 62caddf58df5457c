service {
  name = "old-shop"
  port = 29090
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 29094
    }
  }
}
