# Its calls leave by west's own mesh gateway, and come in by east's.
Kind        = "service-defaults"
Name        = "web"
Protocol    = "http"
MeshGateway = { Mode = "local" }
