service {
  name = "ledger"
  port = 28807
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port = 28822
    }
  }
}
