Kind     = "service-defaults"
Name     = "old-shop"
Protocol = "http"
Meta {
  outrigger_spiffe_id = ""
}
