Kind = "proxy-defaults"
Name = "global"
Config {
  protocol            = "http"
  outrigger_spiffe_id = "spiffe://example.org/mesh/{service}"
}
