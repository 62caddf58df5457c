# At most 100 requests a second for each instance of api.
Kind = "service-defaults"
Name = "api"

Protocol = "http"

EnvoyExtensions = [
  {
    Name = "builtin/http/localratelimit"
    Arguments = {
      ProxyType      = "connect-proxy"
      MaxTokens      = 100
      TokensPerFill  = 100
      FillInterval   = 1
      FilterEnabled  = 100
      FilterEnforced = 100
    }
  }
]
