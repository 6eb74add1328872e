// A Civo Kubernetes cluster behind a firewall of its own.
//
// Without a firewall Civo opens a cluster's API to everyone. Here it stays
// closed until networks are named; the kubeconfig reaches the state only on
// request, and then encrypted.
package main

import (
	"github.com/pulumi/pulumi-civo/sdk/v2/go/civo"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	nodeSize = component.NewFormat(`g[0-9][a-z]?\.[a-z0-9]+(\.[a-z0-9]+)*`, "a node size such as g4s.kube.medium")
	version  = component.NewFormat(`|[0-9]+\.[0-9]+\.[0-9]+-(k3s|talos)[0-9]+`, "a version such as 1.30.5-k3s1")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name        = config.Text("name", "name of the cluster, its network and firewall", config.DefaultName(), component.DNSLabel)
		region      = config.OneOf("region", "where it runs", "LON1", "FRA1", "NYC1", "PHX1", "MUM1")
		kubeVersion = config.Text("kubernetesVersion", "such as `1.30.5-k3s1`", "", version)
		cni         = config.OneOf("cni", "the cluster's network plugin; `cilium` enforces network policies", "cilium", "flannel")
		size        = config.Text("nodeSize", "size of each node", "g4s.kube.medium", nodeSize)
		nodes       = config.Int("nodes", "number of nodes", 3, 1, 100)
		apiNetworks = config.CIDRs("apiNetworks", "networks that reach the Kubernetes API")
		publicWeb   = config.Bool("publicWeb", "open ports 80 and 443 to everyone", false)
		kubeconfig  = config.Bool("exportKubeconfig", "export the kubeconfig, encrypted in the state", false)
		labels      = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	network, err := civo.NewNetwork(ctx, name, &civo.NetworkArgs{
		Label:  pulumi.String(name),
		Region: pulumi.String(region),
	})
	if err != nil {
		return err
	}
	firewall, err := civo.NewFirewall(ctx, name, &civo.FirewallArgs{
		Name:               pulumi.String(name),
		Region:             pulumi.String(region),
		NetworkId:          network.ID(),
		CreateDefaultRules: pulumi.Bool(false),
		IngressRules:       ingress(apiNetworks, publicWeb),
		EgressRules:        egress(),
	})
	if err != nil {
		return err
	}
	cluster, err := civo.NewKubernetesCluster(ctx, name, &civo.KubernetesClusterArgs{
		Name:              pulumi.String(name),
		Region:            pulumi.String(region),
		NetworkId:         network.ID(),
		FirewallId:        firewall.ID(),
		KubernetesVersion: component.Optional(kubeVersion),
		Cni:               pulumi.String(cni),
		Pools: civo.KubernetesClusterPoolsArgs{
			Label:     pulumi.String("default"),
			Size:      pulumi.String(size),
			NodeCount: pulumi.Int(nodes),
			Labels:    labels.Map(),
		},
		Tags:            pulumi.String(labels.Words()),
		WriteKubeconfig: pulumi.Bool(kubeconfig),
	}, pulumi.AdditionalSecretOutputs([]string{"kubeconfig"}))
	if err != nil {
		return err
	}

	ctx.Export("clusterId", cluster.ID())
	ctx.Export("apiEndpoint", cluster.ApiEndpoint)
	ctx.Export("networkId", network.ID())
	if kubeconfig {
		ctx.Export("kubeconfig", pulumi.ToSecret(cluster.Kubeconfig))
	}
	return nil
}

// ingress lets the named networks reach the API and, if asked for, everyone
// the web ports of the load balancers.
func ingress(apiNetworks []string, publicWeb bool) civo.FirewallIngressRuleArray {
	var rules civo.FirewallIngressRuleArray
	allow := func(label, port string, from ...string) {
		rules = append(rules, civo.FirewallIngressRuleArgs{
			Label:     pulumi.String(label),
			Action:    pulumi.String("allow"),
			Protocol:  pulumi.String("tcp"),
			PortRange: pulumi.String(port),
			Cidrs:     pulumi.ToStringArray(from),
		})
	}
	if len(apiNetworks) > 0 {
		allow("kubernetes-api", "6443", apiNetworks...)
	}
	if publicWeb {
		allow("http", "80", "0.0.0.0/0")
		allow("https", "443", "0.0.0.0/0")
	}
	return rules
}

// egress is open: nodes pull images from anywhere.
func egress() civo.FirewallEgressRuleArray {
	var rules civo.FirewallEgressRuleArray
	for _, protocol := range []string{"tcp", "udp"} {
		rules = append(rules, civo.FirewallEgressRuleArgs{
			Label:     pulumi.String("all-" + protocol),
			Action:    pulumi.String("allow"),
			Protocol:  pulumi.String(protocol),
			PortRange: pulumi.String("1-65535"),
			Cidrs:     pulumi.ToStringArray([]string{"0.0.0.0/0"}),
		})
	}
	return rules
}
