# Testers choose the new version by a header; what is left goes by the split.
Kind = "service-router"
Name = "api"

Routes = [
  {
    Match {
      HTTP {
        Header = [
          {
            Name  = "x-version"
            Exact = "2"
          }
        ]
      }
    }
    Destination {
      Service       = "api"
      ServiceSubset = "v2"
    }
  }
]
