package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
)

func operatorCalls() []call {
	operator, coordinate := client.Operator(), client.Coordinate()
	raw := func(path string) func() error {
		return func() error { var out any; _, err := client.Raw().Query(path, &out, nil); return err }
	}
	return []call{
		{"operator.RaftGetConfiguration", func() error {
			c, err := operator.RaftGetConfiguration(nil)
			return first(err, want("servers", len(c.Servers), 1), want("leader", c.Servers[0].Leader, true))
		}},
		{"operator.RaftLeaderTransfer", func() error { _, err := operator.RaftLeaderTransfer("", nil); return wantError(err, "500") }},
		{"operator.RaftRemovePeerByID", func() error { return wantError(operator.RaftRemovePeerByID("no-such", nil), "500") }},
		{"operator.RaftRemovePeerByAddress", func() error { return wantError(operator.RaftRemovePeerByAddress("1.2.3.4:8300", nil), "500") }},
		{"operator.AutopilotGetConfiguration", func() error {
			c, err := operator.AutopilotGetConfiguration(nil)
			return first(err, want("CleanupDeadServers", c.CleanupDeadServers, true))
		}},
		{"operator.AutopilotSetConfiguration", func() error {
			c, err := operator.AutopilotGetConfiguration(nil)
			if err != nil {
				return err
			}
			c.MaxTrailingLogs = 300
			if err := operator.AutopilotSetConfiguration(c, nil); err != nil {
				return err
			}
			c, err = operator.AutopilotGetConfiguration(nil)
			return first(err, want("MaxTrailingLogs", c.MaxTrailingLogs, uint64(300)))
		}},
		{"operator.AutopilotCASConfiguration", func() error {
			c, err := operator.AutopilotGetConfiguration(nil)
			if err != nil {
				return err
			}
			c.ModifyIndex = 1
			ok, err := operator.AutopilotCASConfiguration(c, nil)
			return first(err, want("stale", ok, false))
		}},
		{"operator.AutopilotServerHealth", func() error {
			h, err := operator.AutopilotServerHealth(nil)
			return first(err, want("Healthy", h.Healthy, true), want("servers", len(h.Servers), 1))
		}},
		{"operator.AutopilotState", func() error {
			s, err := operator.AutopilotState(nil)
			return first(err, want("Healthy", s.Healthy, true))
		}},
		{"operator.KeyringList", func() error { _, err := operator.KeyringList(nil); return wantError(err, "500") }},
		{"operator.KeyringInstall", func() error { return wantError(operator.KeyringInstall("a2V5", nil), "500") }},
		{"operator.KeyringUse", func() error { return wantError(operator.KeyringUse("a2V5", nil), "500") }},
		{"operator.KeyringRemove", func() error { return wantError(operator.KeyringRemove("a2V5", nil), "500") }},
		{"operator.Usage", func() error {
			u, _, err := operator.Usage(nil)
			return first(err, must("Nodes", err != nil || u.Usage["dc1"].Nodes >= 1))
		}},
		{"operator.AreaList", func() error { _, _, err := operator.AreaList(nil); return wantError(err, "404") }},
		{"operator.LicenseGet", func() error { _, err := operator.LicenseGet(nil); return wantError(err, "404") }},
		{"operator.SegmentList", func() error { _, _, err := operator.SegmentList(nil); return wantError(err, "404") }},
		{"namespaces.List", func() error { _, _, err := client.Namespaces().List(nil); return wantError(err, "404") }},
		{"partitions.List", func() error {
			_, _, err := client.Partitions().List(context.Background(), nil)
			return wantError(err, "404")
		}},
		{"coordinate.Datacenters", func() error { d, err := coordinate.Datacenters(); return first(err, want("datacenters", len(d), 1)) }},
		{"coordinate.Nodes", func() error { _, _, err := coordinate.Nodes(nil); return err }},
		{"coordinate.Node", func() error {
			_, _, err := coordinate.Node("no-such", nil)
			return wantError(err, "404")
		}},
		{"coordinate.Update", func() error {
			_, err := coordinate.Update(&api.CoordinateEntry{Node: "no-such", Coord: nil}, nil)
			return wantError(err)
		}},
		{"internal.ui nodes", raw("/v1/internal/ui/nodes")},
		{"internal.ui node", func() error {
			n, err := client.Agent().NodeName()
			return first(err, raw("/v1/internal/ui/node/"+n)())
		}},
		{"internal.ui services", raw("/v1/internal/ui/services")},
		{"internal.ui exported-services", raw("/v1/internal/ui/exported-services")},
		{"internal.ui catalog-overview", raw("/v1/internal/ui/catalog-overview")},
		{"internal.ui service-topology", raw("/v1/internal/ui/service-topology/ag-side")},
		{"internal.ui gateway-services-nodes", raw("/v1/internal/ui/gateway-services-nodes/none")},
		{"internal.ui gateway-intentions", raw("/v1/internal/ui/gateway-intentions/none")},
		{"internal.federation-states", raw("/v1/internal/federation-states")},
		{"internal.federation-states mesh-gateways", raw("/v1/internal/federation-states/mesh-gateways")},
		{"internal.acl authorize", func() error {
			var out any
			_, err := client.Raw().Write("/v1/internal/acl/authorize", []map[string]string{{"Resource": "key", "Segment": "a", "Access": "read"}}, &out, nil)
			if err != nil {
				return wantError(err, "ACL support disabled")
			}
			return fmt.Errorf("was taken")
		}},
	}
}
