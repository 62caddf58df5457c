Kind     = "service-defaults"
Name     = "shop"
Protocol = "http"
