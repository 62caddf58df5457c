Kind = "service-defaults"
Name = "web"
Mode = "transparent"
