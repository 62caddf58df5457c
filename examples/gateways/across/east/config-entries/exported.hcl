# What peers may know of at all.
Kind     = "exported-services"
Name     = "default"
Services = [{ Name = "api", Consumers = [{ Peer = "west" }] }]
