// A DigitalOcean Kubernetes cluster behind a firewall, in a VPC of its own.
//
// Without a firewall DigitalOcean opens a cluster's API to everyone. Here it
// stays closed until networks are named.
package main

import (
	"github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	regionSlug = component.NewFormat(`[a-z]{3}[0-9]`, "a region such as fra1")
	sizeSlug   = component.NewFormat(`[a-z0-9]+(-[a-z0-9.]+)+`, "a Droplet size such as s-2vcpu-4gb")
	release    = component.NewFormat(`1\.[0-9]+\.[0-9]+-do\.[0-9]+`, "a version such as 1.33.1-do.3")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name        = config.Text("name", "name of the cluster and its VPC", config.DefaultName(), component.DNSLabel)
		region      = pulumi.String(config.Text("region", "region", "fra1", regionSlug))
		version     = config.Text("version", "version of Kubernetes to start with", "", release)
		autoUpgrade = config.Bool("autoUpgrade", "install new patch releases in the maintenance window", true)
		day         = config.OneOf("maintenanceDay", "day of the maintenance window, which starts at 2 in the morning, UTC", "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "any")
		ha          = config.Bool("ha", "a highly available control plane; it cannot be switched off again", true)
		size        = config.Text("nodeSize", "size of each node", "s-2vcpu-4gb", sizeSlug)
		least       = config.Int("minNodes", "number of nodes, at least", 2, 1, 512)
		most        = config.Int("maxNodes", "up to how many nodes there may be", 5, 1, 512)
		apiNetworks = config.CIDRs("apiNetworks", "networks that reach the Kubernetes API")
		registry    = config.Bool("registry", "let the cluster pull from the account's container registry", false)
		leftovers   = config.Bool("destroyLeftovers", "let `pulumi destroy` delete the cluster's volumes and load balancers as well", false)
		kubeconfig  = config.Bool("exportKubeconfig", "export the kubeconfig, encrypted in the state", false)
		labels      = config.Labels()
	)
	if most < least {
		config.Reject("maxNodes", "must be at least minNodes, %d, not %d", least, most)
	}
	if err := config.Err(); err != nil {
		return err
	}

	vpc, err := digitalocean.NewVpc(ctx, name, &digitalocean.VpcArgs{
		Name:   pulumi.String(name),
		Region: region,
	})
	if err != nil {
		return err
	}
	var opts []pulumi.ResourceOption
	if autoUpgrade {
		// The version moves on by itself, and an older one would replace the cluster.
		opts = append(opts, pulumi.IgnoreChanges([]string{"version"}))
	}
	cluster, err := digitalocean.NewKubernetesCluster(ctx, name, &digitalocean.KubernetesClusterArgs{
		Name:         pulumi.String(name),
		Region:       region,
		VpcUuid:      vpc.ID(),
		Version:      pulumi.String(version),
		Ha:           pulumi.Bool(ha),
		AutoUpgrade:  pulumi.Bool(autoUpgrade),
		SurgeUpgrade: pulumi.Bool(true),
		MaintenancePolicy: digitalocean.KubernetesClusterMaintenancePolicyArgs{
			Day:       pulumi.String(day),
			StartTime: pulumi.String("02:00"),
		},
		ControlPlaneFirewall: digitalocean.KubernetesClusterControlPlaneFirewallArgs{
			Enabled:          pulumi.Bool(true),
			AllowedAddresses: pulumi.ToStringArray(apiNetworks),
		},
		NodePool: digitalocean.KubernetesClusterNodePoolArgs{
			Name:      pulumi.String("default"),
			Size:      pulumi.String(size),
			AutoScale: pulumi.Bool(true),
			MinNodes:  pulumi.Int(least),
			MaxNodes:  pulumi.Int(most),
			Labels:    labels.Map(),
			Tags:      pulumi.ToStringArray(labels.Tags()),
		},
		RegistryIntegration:           pulumi.Bool(registry),
		DestroyAllAssociatedResources: pulumi.Bool(leftovers),
		Tags:                          pulumi.ToStringArray(labels.Tags()),
	}, opts...)
	if err != nil {
		return err
	}

	ctx.Export("clusterId", cluster.ID())
	ctx.Export("apiEndpoint", cluster.Endpoint)
	ctx.Export("vpcId", vpc.ID())
	if kubeconfig {
		ctx.Export("kubeconfig", pulumi.ToSecret(cluster.KubeConfigs.Index(pulumi.Int(0)).RawConfig()))
	}
	return nil
}
