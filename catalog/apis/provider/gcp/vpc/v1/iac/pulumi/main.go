// A VPC network that lets nobody in.
//
// It begins empty: subnetworks come from the component subnetwork. GCP drops
// whatever no firewall rule allows, and here each rule has to be asked for.
package main

import (
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/servicenetworking"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	networkName = component.NewFormat(`[a-z]([a-z0-9-]{0,48}[a-z0-9])?`,
		"1 to 50 lowercase letters, digits and hyphens, starting with a letter, as the firewall rules' names begin with it")

	// The addresses that Google documents for its own services.
	healthChecks       = []string{"35.191.0.0/16", "130.211.0.0/22"}
	identityAwareProxy = []string{"35.235.240.0/20"}
)

// settings is one validated configuration.
type settings struct {
	name, routing                           string
	internalNetworks                        []string
	iapSSH, loadBalancers, logDenied, peers bool
	prefix                                  int
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:             config.Text("name", "name of the network", config.DefaultName(), networkName),
		routing:          config.OneOf("routingMode", "whether routes learned from other networks hold in all regions or in one", "GLOBAL", "REGIONAL"),
		internalNetworks: config.CIDRs("internalNetworks", "networks whose machines reach all machines, such as those of the subnetworks"),
		iapSSH:           config.Bool("iapSsh", "let Identity-Aware Proxy forward SSH for those who have its IAM role", false),
		loadBalancers:    config.Bool("loadBalancers", "let Google's load balancers and health checks reach all machines", false),
		logDenied:        config.Bool("logDenied", "log what the firewall drops", false),
		peers:            config.Bool("privateServices", "connect managed services such as Cloud SQL at private addresses", true),
		prefix:           config.Int("privateServicesPrefix", "prefix length of the range of those addresses", 20, 8, 24),
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	network, err := compute.NewNetwork(ctx, s.name, &compute.NetworkArgs{
		Name:                  pulumi.String(s.name),
		AutoCreateSubnetworks: pulumi.Bool(false),
		RoutingMode:           pulumi.String(s.routing),
	})
	if err != nil {
		return err
	}
	for suffix, args := range rules(s) {
		args.Name = pulumi.String(s.name + "-" + suffix)
		args.Network = network.ID()
		args.Direction = pulumi.String("INGRESS")
		if _, err := compute.NewFirewall(ctx, s.name+"-"+suffix, &args); err != nil {
			return err
		}
	}
	if s.peers {
		if err := connectServices(ctx, s, network); err != nil {
			return err
		}
	}

	ctx.Export("network", network.ID())
	ctx.Export("name", network.Name)
	return nil
}

// rules are those asked for, by the end of their names.
func rules(s settings) map[string]compute.FirewallArgs {
	logged := compute.FirewallLogConfigArgs{Metadata: pulumi.String("INCLUDE_ALL_METADATA")}
	rules := map[string]compute.FirewallArgs{}
	if len(s.internalNetworks) > 0 {
		rules["internal"] = compute.FirewallArgs{
			SourceRanges: pulumi.ToStringArray(s.internalNetworks),
			Allows:       compute.FirewallAllowArray{compute.FirewallAllowArgs{Protocol: pulumi.String("all")}},
		}
	}
	if s.iapSSH {
		rules["iap-ssh"] = compute.FirewallArgs{
			SourceRanges: pulumi.ToStringArray(identityAwareProxy),
			Allows: compute.FirewallAllowArray{compute.FirewallAllowArgs{
				Protocol: pulumi.String("tcp"),
				Ports:    pulumi.ToStringArray([]string{"22"}),
			}},
			LogConfig: logged,
		}
	}
	if s.loadBalancers {
		rules["health-check"] = compute.FirewallArgs{
			SourceRanges: pulumi.ToStringArray(healthChecks),
			Allows:       compute.FirewallAllowArray{compute.FirewallAllowArgs{Protocol: pulumi.String("tcp")}},
		}
	}
	if s.logDenied {
		rules["denied"] = compute.FirewallArgs{
			SourceRanges: pulumi.ToStringArray([]string{"0.0.0.0/0"}),
			Denies:       compute.FirewallDenyArray{compute.FirewallDenyArgs{Protocol: pulumi.String("all")}},
			// Last of all, but before GCP's own rule, which drops without a log.
			Priority:  pulumi.Int(65534),
			LogConfig: logged,
		}
	}
	return rules
}

// connectServices peers with the network in which Google runs its managed
// services, and reserves the addresses that they take.
func connectServices(ctx *pulumi.Context, s settings, network *compute.Network) error {
	reserved, err := compute.NewGlobalAddress(ctx, s.name+"-services", &compute.GlobalAddressArgs{
		Name:         pulumi.String(s.name + "-services"),
		Network:      network.ID(),
		Purpose:      pulumi.String("VPC_PEERING"),
		AddressType:  pulumi.String("INTERNAL"),
		PrefixLength: pulumi.Int(s.prefix),
	})
	if err != nil {
		return err
	}
	_, err = servicenetworking.NewConnection(ctx, s.name, &servicenetworking.ConnectionArgs{
		Network:               network.ID(),
		Service:               pulumi.String("servicenetworking.googleapis.com"),
		ReservedPeeringRanges: pulumi.StringArray{reserved.Name},
		// Google refuses to cut it for days after the last service is deleted.
		DeletionPolicy: pulumi.String("ABANDON"),
	})
	return err
}
