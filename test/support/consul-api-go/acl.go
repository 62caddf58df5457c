package main

import (
	"github.com/hashicorp/consul/api"
)

// Without ACLs each of these is refused in one way; with them they are another issue's.
func aclCalls() []call {
	acl := client.ACL()
	off := func(run func() error) func() error {
		return func() error { return wantError(run(), "ACL support disabled") }
	}
	return []call{
		{"acl.Bootstrap", off(func() error { _, _, err := acl.Bootstrap(); return err })},
		{"acl.Replication", func() error {
			r, _, err := acl.Replication(nil)
			if err != nil {
				return wantError(err, "ACL support disabled")
			}
			return want("Enabled", r.Enabled, false)
		}},
		{"acl.TokenCreate", off(func() error { _, _, err := acl.TokenCreate(&api.ACLToken{}, nil); return err })},
		{"acl.TokenRead", off(func() error { _, _, err := acl.TokenRead("x", nil); return err })},
		{"acl.TokenReadSelf", off(func() error { _, _, err := acl.TokenReadSelf(nil); return err })},
		{"acl.TokenList", off(func() error { _, _, err := acl.TokenList(nil); return err })},
		{"acl.TokenUpdate", off(func() error { _, _, err := acl.TokenUpdate(&api.ACLToken{AccessorID: "x"}, nil); return err })},
		{"acl.TokenClone", off(func() error { _, _, err := acl.TokenClone("x", "", nil); return err })},
		{"acl.TokenDelete", off(func() error { _, err := acl.TokenDelete("x", nil); return err })},
		{"acl.PolicyCreate", off(func() error { _, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "p"}, nil); return err })},
		{"acl.PolicyUpdate", off(func() error { _, _, err := acl.PolicyUpdate(&api.ACLPolicy{ID: "x", Name: "p"}, nil); return err })},
		{"acl.PolicyRead", off(func() error { _, _, err := acl.PolicyRead("x", nil); return err })},
		{"acl.PolicyReadByName", off(func() error { _, _, err := acl.PolicyReadByName("x", nil); return err })},
		{"acl.PolicyList", off(func() error { _, _, err := acl.PolicyList(nil); return err })},
		{"acl.PolicyDelete", func() error { _, err := acl.PolicyDelete("x", nil); return wantError(err, "401") }},
		{"acl.RoleCreate", off(func() error { _, _, err := acl.RoleCreate(&api.ACLRole{Name: "r"}, nil); return err })},
		{"acl.RoleUpdate", off(func() error { _, _, err := acl.RoleUpdate(&api.ACLRole{ID: "x", Name: "r"}, nil); return err })},
		{"acl.RoleRead", off(func() error { _, _, err := acl.RoleRead("x", nil); return err })},
		{"acl.RoleReadByName", off(func() error { _, _, err := acl.RoleReadByName("x", nil); return err })},
		{"acl.RoleList", off(func() error { _, _, err := acl.RoleList(nil); return err })},
		{"acl.RoleDelete", off(func() error { _, err := acl.RoleDelete("x", nil); return err })},
		{"acl.AuthMethodCreate", off(func() error {
			_, _, err := acl.AuthMethodCreate(&api.ACLAuthMethod{Name: "m", Type: "jwt"}, nil)
			return err
		})},
		{"acl.AuthMethodUpdate", off(func() error { _, _, err := acl.AuthMethodUpdate(&api.ACLAuthMethod{Name: "m"}, nil); return err })},
		{"acl.AuthMethodRead", off(func() error { _, _, err := acl.AuthMethodRead("m", nil); return err })},
		{"acl.AuthMethodList", off(func() error { _, _, err := acl.AuthMethodList(nil); return err })},
		{"acl.AuthMethodDelete", off(func() error { _, err := acl.AuthMethodDelete("m", nil); return err })},
		{"acl.BindingRuleCreate", off(func() error {
			_, _, err := acl.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "m"}, nil)
			return err
		})},
		{"acl.BindingRuleUpdate", off(func() error { _, _, err := acl.BindingRuleUpdate(&api.ACLBindingRule{ID: "x"}, nil); return err })},
		{"acl.BindingRuleRead", off(func() error { _, _, err := acl.BindingRuleRead("x", nil); return err })},
		{"acl.BindingRuleList", off(func() error { _, _, err := acl.BindingRuleList("", nil); return err })},
		{"acl.BindingRuleDelete", off(func() error { _, err := acl.BindingRuleDelete("x", nil); return err })},
		{"acl.Login", off(func() error { _, _, err := acl.Login(&api.ACLLoginParams{AuthMethod: "m"}, nil); return err })},
		{"acl.Logout", off(func() error { _, err := acl.Logout(nil); return err })},
		{"acl.TemplatedPolicyList", off(func() error { _, _, err := acl.TemplatedPolicyList(nil); return err })},
		{"acl.TemplatedPolicyReadByName", off(func() error { _, _, err := acl.TemplatedPolicyReadByName("builtin/service", nil); return err })},
		{"acl.TemplatedPolicyPreview", off(func() error {
			_, _, err := acl.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{TemplateName: "builtin/service"}, nil)
			return err
		})},
	}
}
