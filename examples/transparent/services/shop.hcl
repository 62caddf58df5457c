service {
  name = "shop"
  port = 28806
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28821
    }
  }
}
