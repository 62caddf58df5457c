package main

import (
	"context"

	"github.com/hashicorp/consul/api"
)

func defaults(name, protocol string) error {
	_, _, err := client.ConfigEntries().Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: name, Protocol: protocol}, nil)
	return err
}

func connectCalls() []call {
	entries, connect := client.ConfigEntries(), client.Connect()
	var peeringToken string
	set := func(entry api.ConfigEntry) func() error {
		return func() error {
			ok, _, err := entries.Set(entry, nil)
			if err := first(err, want("ok", ok, true)); err != nil {
				return err
			}
			got, _, err := entries.Get(entry.GetKind(), entry.GetName(), nil)
			return first(err, want("Name", got.GetName(), entry.GetName()))
		}
	}
	return []call{
		{"config.Set service-defaults", set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "ce-web", Protocol: "http", Meta: map[string]string{"a": "b"}})},
		{"config.Set proxy-defaults", set(&api.ProxyConfigEntry{Kind: api.ProxyDefaults, Name: "global", Config: map[string]any{"local_connect_timeout_ms": 1000}})},
		{"config.Set service-router", set(&api.ServiceRouterConfigEntry{Kind: api.ServiceRouter, Name: "ce-web", Routes: []api.ServiceRoute{{Match: &api.ServiceRouteMatch{HTTP: &api.ServiceRouteHTTPMatch{PathPrefix: "/a"}}, Destination: &api.ServiceRouteDestination{NumRetries: 3}}}})},
		{"config.Set service-splitter", set(&api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "ce-web", Splits: []api.ServiceSplit{{Weight: 100}}})},
		{"config.Set service-resolver", set(&api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: "ce-web", DefaultSubset: "v1", Subsets: map[string]api.ServiceResolverSubset{"v1": {Filter: "Service.Meta.version == v1"}}})},
		{"config.Set service-intentions", set(&api.ServiceIntentionsConfigEntry{Kind: api.ServiceIntentions, Name: "ce-db", Sources: []*api.SourceIntention{{Name: "ce-web", Action: api.IntentionActionAllow, Description: "reads"}}})},
		{"config.Set mesh", set(&api.MeshConfigEntry{HTTP: &api.MeshHTTPConfig{SanitizeXForwardedClientCert: true}})},
		{"config.Set jwt-provider", set(&api.JWTProviderConfigEntry{Kind: api.JWTProvider, Name: "ce-okta", Issuer: "https://okta", JSONWebKeySet: &api.JSONWebKeySet{Local: &api.LocalJWKS{JWKS: "eyJrZXlzIjpbeyJrdHkiOiJFQyIsIngiOiJOWW1iZThmcEZ0OGt3dE1hN0VvaFNCMjJKMG5BS0t3ZHV0Q002b3cwYjRNIiwieSI6Im5mTjRhVWhWZms0R0RGYk1BOVNyVnBkeGpFZk1QN1MwTmdqUG1UNmxUeW8iLCJjcnYiOiJQLTI1NiIsImtpZCI6ImEiLCJhbGciOiJFUzI1NiJ9XX0="}}})},
		{"config.Set exported-services", set(&api.ExportedServicesConfigEntry{Name: "default", Services: []api.ExportedService{{Name: "ce-web", Consumers: []api.ServiceConsumer{{Peer: "east"}}}}})},
		{"config.Set invalid", func() error {
			_, _, err := entries.Set(&api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "ce-web", Splits: []api.ServiceSplit{{Weight: 50}}}, nil)
			return wantError(err, "400", "100")
		}},
		{"config.CAS", func() error {
			if err := defaults("ce-cas", "http"); err != nil {
				return err
			}
			e, _, err := entries.Get(api.ServiceDefaults, "ce-cas", nil)
			if err != nil {
				return err
			}
			change := &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "ce-cas", Protocol: "grpc"}
			no, _, err := entries.CAS(change, 1, nil)
			yes, _, err2 := entries.CAS(change, e.GetModifyIndex(), nil)
			return first(err, err2, want("stale", no, false), want("current", yes, true))
		}},
		{"config.List", func() error {
			l, _, err := entries.List(api.ServiceDefaults, nil)
			return first(err, must("too few", len(l) >= 2))
		}},
		{"config.List filter", func() error {
			l, _, err := entries.List(api.ServiceDefaults, &api.QueryOptions{Filter: `Name == "ce-web"`})
			return first(err, want("entries", len(l), 1))
		}},
		{"config.List unknown kind", func() error {
			_, _, err := entries.List("no-such", nil)
			return wantError(err, "400", "invalid config entry kind")
		}},
		{"config.Get absent", func() error {
			_, _, err := entries.Get(api.ServiceDefaults, "ce-none", nil)
			return wantError(err, "404", "Config entry not found")
		}},
		{"config.Get blocks", func() error {
			return blocks(func(q *api.QueryOptions) (*api.QueryMeta, error) {
				_, m, err := entries.Get(api.ServiceDefaults, "ce-web", q)
				return m, err
			},
				func() error {
					_, _, err := entries.Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "ce-web", Protocol: "http", MaxInboundConnections: 7}, nil)
					return err
				})
		}},
		{"config.Delete", func() error {
			if err := defaults("ce-delete", "http"); err != nil {
				return err
			}
			_, err := entries.Delete(api.ServiceDefaults, "ce-delete", nil)
			return err
		}},
		{"config.DeleteCAS", func() error {
			if err := defaults("ce-delete-cas", "http"); err != nil {
				return err
			}
			ok, _, err := entries.DeleteCAS(api.ServiceDefaults, "ce-delete-cas", 1, nil)
			return first(err, want("stale", ok, false))
		}},
		{"exported-services", func() error { _, _, err := client.ExportedServices(nil); return err }},
		{"connect.CARoots", func() error {
			r, _, err := connect.CARoots(nil)
			return first(err, must("ActiveRootID", err != nil || r.ActiveRootID != ""))
		}},
		{"connect.CAGetConfig", func() error {
			c, _, err := connect.CAGetConfig(nil)
			return first(err, want("Provider", c.Provider, "consul"))
		}},
		{"connect.CASetConfig", func() error {
			c, _, err := connect.CAGetConfig(nil)
			if err != nil {
				return err
			}
			_, err = connect.CASetConfig(c, nil)
			return err
		}},
		{"connect.CASetConfig files refused", func() error {
			_, err := connect.CASetConfig(&api.CAConfig{Provider: "files", Config: map[string]any{"CertFile": "/etc/passwd", "KeyFile": "/etc/passwd"}}, nil)
			return wantError(err, "files")
		}},
		{"intention.Upsert", func() error {
			_, err := connect.IntentionUpsert(&api.Intention{SourceName: "in-a", DestinationName: "in-b", Action: api.IntentionActionAllow, Meta: map[string]string{"k": "v"}}, nil)
			return err
		}},
		{"intention.GetExact", func() error {
			i, _, err := connect.IntentionGetExact("in-a", "in-b", nil)
			return first(err, must("absent", i != nil), want("Action", i.Action, api.IntentionActionAllow), want("Precedence", i.Precedence, 9))
		}},
		{"intention.GetExact absent", func() error {
			i, _, err := connect.IntentionGetExact("in-x", "in-y", nil)
			return first(err, must("is there", i == nil))
		}},
		{"intention.List", func() error { l, _, err := connect.Intentions(nil); return first(err, must("empty", len(l) > 0)) }},
		{"intention.List filter", func() error {
			l, _, err := connect.Intentions(&api.QueryOptions{Filter: `SourceName == "in-a"`})
			return first(err, want("intentions", len(l), 1))
		}},
		{"intention.Match two names", func() error {
			m, _, err := connect.IntentionMatch(&api.IntentionMatch{By: api.IntentionMatchDestination, Names: []string{"in-b", "in-c"}}, nil)
			return first(err, want("names", len(m), 2), want("in-b", len(m["in-b"]), 1))
		}},
		{"intention.Check", func() error {
			ok, _, err := connect.IntentionCheck(&api.IntentionCheck{Source: "in-a", Destination: "in-b", SourceType: api.IntentionSourceConsul}, nil)
			return first(err, want("allowed", ok, true))
		}},
		{"intention.Create, Get, Update, Delete by ID", func() error {
			id, _, err := connect.IntentionCreate(&api.Intention{SourceName: "in-old", DestinationName: "in-b", SourceType: api.IntentionSourceConsul, Action: api.IntentionActionDeny}, nil)
			if err != nil {
				return err
			}
			i, _, err := connect.IntentionGet(id, nil)
			if err := first(err, must("absent", i != nil), want("SourceName", i.SourceName, "in-old")); err != nil {
				return err
			}
			i.Description = "changed"
			if _, err := connect.IntentionUpdate(i, nil); err != nil {
				return err
			}
			if _, err := connect.IntentionDelete(id, nil); err != nil {
				return err
			}
			i, _, err = connect.IntentionGet(id, nil)
			return first(err, must("still there", i == nil))
		}},
		{"intention.DeleteExact", func() error { _, err := connect.IntentionDeleteExact("in-a", "in-b", nil); return err }},
		{"discovery-chain.Get", func() error {
			c, _, err := client.DiscoveryChain().Get("ce-web", nil, nil)
			return first(err, want("Protocol", c.Chain.Protocol, "http"))
		}},
		{"discovery-chain.Get overrides", func() error {
			c, _, err := client.DiscoveryChain().Get("ce-other", &api.DiscoveryChainOptions{OverrideProtocol: "grpc"}, nil)
			return first(err, want("Protocol", c.Chain.Protocol, "grpc"))
		}},
		{"discovery-chain.Get dc", func() error {
			_, _, err := client.DiscoveryChain().Get("ce-web", &api.DiscoveryChainOptions{EvaluateInDatacenter: "dc1"}, nil)
			return err
		}},
		{"peering.List", func() error {
			all, _, err := client.Peerings().List(context.Background(), nil)
			return first(err, want("peerings", len(all), 0))
		}},
		{"peering.GenerateToken", func() error {
			made, _, err := client.Peerings().GenerateToken(context.Background(), api.PeeringGenerateTokenRequest{PeerName: "east", Meta: map[string]string{"env": "test"}}, nil)
			if err != nil {
				return err
			}
			peeringToken = made.PeeringToken
			return want("a token", peeringToken != "", true)
		}},
		{"peering.Read", func() error {
			east, _, err := client.Peerings().Read(context.Background(), "east", nil)
			if err != nil {
				return err
			}
			return first(want("state", east.State, api.PeeringStatePending), want("meta", east.Meta["env"], "test"), want("exported", len(east.StreamStatus.ExportedServices), 1))
		}},
		{"peering.Read of none", func() error {
			none, _, err := client.Peerings().Read(context.Background(), "nobody", nil)
			return first(err, want("a peering", none == nil, true))
		}},
		{"peering.Establish own token", func() error {
			_, _, err := client.Peerings().Establish(context.Background(), api.PeeringEstablishRequest{PeerName: "self", PeeringToken: peeringToken}, nil)
			return wantError(err, "400", "of this control plane")
		}},
		{"peering.Delete", func() error {
			_, err := client.Peerings().Delete(context.Background(), "east", nil)
			return err
		}},
		{"internal.AssignServiceVirtualIP", func() error {
			_, _, err := client.Internal().AssignServiceVirtualIP(context.Background(), "ag-web", []string{"240.9.9.9"}, nil)
			return err
		}},
	}
}
