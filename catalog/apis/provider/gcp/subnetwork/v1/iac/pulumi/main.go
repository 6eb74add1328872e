// A subnetwork of a VPC network, with flow logs and, for GKE, the ranges of
// pods and services.
package main

import (
	"net/netip"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// network is loose: what a pattern cannot tell, check does.
var network = component.NewFormat(`[0-9]+(\.[0-9]+){3}/[0-9]+`, "a network such as 10.8.0.0/20")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "name of the subnetwork", config.DefaultName(), component.DNSLabel)
		region   = config.Text("region", "where it is", "europe-west1", formats.Region)
		vpc      = config.Text("network", "the VPC network it belongs to", "", formats.Network)
		machines = config.Text("cidr", "addresses of machines", "", network)
		pods     = config.Text("podsCidr", "addresses of GKE's pods", "", network.OrUnset())
		services = config.Text("servicesCidr", "addresses of GKE's services", "", network.OrUnset())
		sample   = config.Int("flowLogsPercent", "share of the connections whose flow is logged", 50, 0, 100)
		users    = config.List("users", "members that may place machines in it, such as those of another project", formats.Member)
	)
	if (pods == "") != (services == "") {
		config.Reject("servicesCidr", "must be set together with podsCidr")
	}
	check(config, [][2]string{{"cidr", machines}, {"podsCidr", pods}, {"servicesCidr", services}})
	if err := config.Err(); err != nil {
		return err
	}

	subnetwork, err := compute.NewSubnetwork(ctx, name, &compute.SubnetworkArgs{
		Name:        pulumi.String(name),
		Region:      pulumi.String(region),
		Network:     pulumi.String(vpc),
		IpCidrRange: pulumi.String(machines),
		// Machines reach Google's APIs without a public address.
		PrivateIpGoogleAccess: pulumi.Bool(true),
		SecondaryIpRanges:     secondary(pods, services),
		// Otherwise ranges stay when they are no longer in the configuration.
		SendSecondaryIpRangeIfEmpty: pulumi.Bool(true),
		LogConfig:                   flowLogs(sample),
	})
	if err != nil {
		return err
	}
	for _, user := range users {
		if _, err := compute.NewSubnetworkIAMMember(ctx, name+"-"+user, &compute.SubnetworkIAMMemberArgs{
			Project:    subnetwork.Project,
			Region:     subnetwork.Region,
			Subnetwork: subnetwork.Name,
			Role:       pulumi.String("roles/compute.networkUser"),
			Member:     pulumi.String(user),
		}); err != nil {
			return err
		}
	}

	ctx.Export("subnetwork", subnetwork.ID())
	ctx.Export("name", subnetwork.Name)
	ctx.Export("gateway", subnetwork.GatewayAddress)
	return nil
}

// check rejects ranges that GCP would refuse: it wants them of some size, not
// within each other, and with no bits set after the prefix.
func check(config *component.Config, ranges [][2]string) {
	var checked []netip.Prefix
	for _, r := range ranges {
		key, text := r[0], r[1]
		if !network.Pattern.MatchString(text) {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() || prefix.Bits() < 4 || prefix.Bits() > 29 {
			config.Reject(key, "must be a network of 8 addresses or more that begins at its first address, not %q", text)
			continue
		}
		for _, other := range checked {
			if prefix.Overlaps(other) {
				config.Reject(key, "%s overlaps with %s", prefix, other)
			}
		}
		checked = append(checked, prefix)
	}
}

// secondary has the names that the component gkecluster expects.
func secondary(pods, services string) compute.SubnetworkSecondaryIpRangeArray {
	if pods == "" {
		return nil
	}
	return compute.SubnetworkSecondaryIpRangeArray{
		compute.SubnetworkSecondaryIpRangeArgs{RangeName: pulumi.String("pods"), IpCidrRange: pulumi.String(pods)},
		compute.SubnetworkSecondaryIpRangeArgs{RangeName: pulumi.String("services"), IpCidrRange: pulumi.String(services)},
	}
}

// flowLogs gathers five minutes into an entry: the default of five seconds
// costs many times as much and seldom tells more.
func flowLogs(percent int) compute.SubnetworkLogConfigPtrInput {
	if percent == 0 {
		return nil
	}
	return compute.SubnetworkLogConfigArgs{
		AggregationInterval: pulumi.String("INTERVAL_5_MIN"),
		FlowSampling:        pulumi.Float64(float64(percent) / 100),
		Metadata:            pulumi.String("INCLUDE_ALL_METADATA"),
	}
}
