package main

import (
	"testing"

	"example.com/iac-catalog/pkg/componenttest"
)

const (
	cluster  = "civo:index/kubernetesCluster:KubernetesCluster"
	firewall = "civo:index/firewall:Firewall"
)

func TestRun(t *testing.T) {
	componenttest.Run(t, run, []componenttest.Case{
		{
			Name: "without configuration everything is closed",
			Inputs: componenttest.Inputs{
				firewall: {
					"createDefaultRules": false,
					"ingressRules":       nil,
					"networkId":          "shop-test-id",
				},
				cluster: {
					"name":              "shop-test",
					"region":            "LON1",
					"firewallId":        "shop-test-id",
					"kubernetesVersion": nil,
					"pools.nodeCount":   3.0,
					"writeKubeconfig":   false,
					"tags":              "managed-by:pulumi project:shop stack:test",
				},
			},
		},
		{
			Name: "the API opens to the named networks only",
			Config: map[string]string{
				"name":             "orders",
				"nodes":            "5",
				"apiNetworks":      `["192.0.2.0/24"]`,
				"publicWeb":        "true",
				"exportKubeconfig": "true",
				"labels":           `{"team": "orders"}`,
			},
			Inputs: componenttest.Inputs{
				firewall: {
					"ingressRules[0].portRange": "6443",
					"ingressRules[0].cidrs":     []any{"192.0.2.0/24"},
					"ingressRules[1].portRange": "80",
					"ingressRules[2].portRange": "443",
					"ingressRules[2].cidrs":     []any{"0.0.0.0/0"},
				},
				cluster: {
					"name":              "orders",
					"pools.nodeCount":   5.0,
					"pools.labels.team": "orders",
					"writeKubeconfig":   true,
				},
			},
		},
		{
			Name: "all mistakes are told at once",
			Config: map[string]string{
				"region":            "MARS1",
				"nodes":             "0",
				"kubernetesVersion": "latest",
				"apiNetworks":       `["0.0.0.0/0"]`,
			},
			Faults: []string{
				`region: must be one of LON1, FRA1, NYC1, PHX1, MUM1, not "MARS1"`,
				`nodes: must be a whole number from 1 to 100, not "0"`,
				`kubernetesVersion: must be a version such as 1.30.5-k3s1, not "latest"`,
				`apiNetworks: must be a list, each item a network smaller than the Internet`,
			},
		},
	})
}
