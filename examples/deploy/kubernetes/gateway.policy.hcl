# Rights of a gateway: to be registered under its name, and to know whom it may send to.
service "mesh-gateway" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
mesh    = "read"
peering = "read"
