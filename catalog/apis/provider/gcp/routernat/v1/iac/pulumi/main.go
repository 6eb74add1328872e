// A Cloud NAT gateway, with static addresses if others must know them.
//
// Machines without an external address reach the Internet through it, and
// nobody on the Internet reaches them.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// resourceName leaves room for the numbers of the addresses.
var resourceName = component.NewFormat(`[a-z]([a-z0-9-]{0,58}[a-z0-9])?`,
	"1 to 60 lowercase letters, digits and hyphens, starting with a letter")

// settings is one validated configuration.
type settings struct {
	name, region, network, log            string
	subnetworks                           []string
	addresses, minPorts, maxPorts, closed int
	labels                                component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "name of the router, the gateway and its addresses", config.DefaultName(), resourceName),
		network:     config.Text("network", "the network whose machines it serves", "", formats.Network),
		region:      config.Text("region", "the region whose machines it serves", "europe-west1", formats.Region),
		subnetworks: config.List("subnetworks", "the only subnetworks it serves; left out, all of the region", formats.Subnetwork),
		addresses:   config.Int("addresses", "how many static addresses it has, all of which others must know; 0 lets Google choose and change them", 0, 0, 16),
		minPorts:    config.Int("minPortsPerVm", "connections to the same destination that each VM can always have; a power of 2", 64, 32, 32768),
		maxPorts:    config.Int("maxPortsPerVm", "up to how many as long as there are some left; a power of 2", 4096, 64, 65536),
		closed:      config.Int("timeWaitSeconds", "after how long the port of a closed connection is used again", 120, 5, 600),
		log:         config.OneOf("log", "what it logs", "ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL"),
		labels:      config.Labels(),
	}
	for _, subnetwork := range s.subnetworks {
		if !formats.InRegion(subnetwork, s.region) {
			config.Reject("subnetworks", "%s is not in the region %s", subnetwork, s.region)
		}
	}
	for _, limit := range []struct {
		key   string
		ports int
	}{{"minPortsPerVm", s.minPorts}, {"maxPortsPerVm", s.maxPorts}} {
		if limit.ports&(limit.ports-1) != 0 {
			config.Reject(limit.key, "must be a power of 2, not %d", limit.ports)
		}
	}
	if s.minPorts >= s.maxPorts {
		config.Reject("maxPortsPerVm", "must be more than minPortsPerVm, %d", s.minPorts)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	router, err := compute.NewRouter(ctx, s.name, &compute.RouterArgs{
		Name:    pulumi.String(s.name),
		Region:  pulumi.String(s.region),
		Network: pulumi.String(s.network),
	})
	if err != nil {
		return err
	}
	links, addresses, err := newAddresses(ctx, s)
	if err != nil {
		return err
	}
	args := &compute.RouterNatArgs{
		Name:                          pulumi.String(s.name),
		Region:                        pulumi.String(s.region),
		Router:                        router.Name,
		NatIpAllocateOption:           pulumi.String("AUTO_ONLY"),
		SourceSubnetworkIpRangesToNat: pulumi.String("ALL_SUBNETWORKS_ALL_IP_RANGES"),
		// A VM that opens many connections borrows the ports that others do not
		// use. The price is that a port may differ by destination.
		EnableDynamicPortAllocation:      pulumi.Bool(true),
		EnableEndpointIndependentMapping: pulumi.Bool(false),
		MinPortsPerVm:                    pulumi.Int(s.minPorts),
		MaxPortsPerVm:                    pulumi.Int(s.maxPorts),
		TcpTimeWaitTimeoutSec:            pulumi.Int(s.closed),
		LogConfig:                        compute.RouterNatLogConfigArgs{Enable: pulumi.Bool(true), Filter: pulumi.String(s.log)},
	}
	if s.addresses > 0 {
		args.NatIpAllocateOption = pulumi.String("MANUAL_ONLY")
		args.NatIps = links
	}
	if len(s.subnetworks) > 0 {
		args.SourceSubnetworkIpRangesToNat = pulumi.String("LIST_OF_SUBNETWORKS")
		args.Subnetworks = subnetworks(s)
	}
	nat, err := compute.NewRouterNat(ctx, s.name, args)
	if err != nil {
		return err
	}

	ctx.Export("router", router.Name)
	ctx.Export("nat", nat.Name)
	ctx.Export("addresses", addresses)
	return nil
}

// newAddresses reserves the static addresses, if any. They are numbered so that
// a change of their number leaves the others alone.
func newAddresses(ctx *pulumi.Context, s settings) (links, addresses pulumi.StringArray, err error) {
	addresses = pulumi.StringArray{}
	for i := range s.addresses {
		name := fmt.Sprintf("%s-%d", s.name, i+1)
		address, err := compute.NewAddress(ctx, name, &compute.AddressArgs{
			Name:        pulumi.String(name),
			Region:      pulumi.String(s.region),
			AddressType: pulumi.String("EXTERNAL"),
			Labels:      s.labels.Map(),
		})
		if err != nil {
			return nil, nil, err
		}
		links = append(links, address.SelfLink)
		addresses = append(addresses, address.Address)
	}
	return links, addresses, nil
}

func subnetworks(s settings) compute.RouterNatSubnetworkArray {
	var all compute.RouterNatSubnetworkArray
	for _, subnetwork := range s.subnetworks {
		all = append(all, compute.RouterNatSubnetworkArgs{
			Name: pulumi.String(subnetwork),
			// The secondary ranges are those of pods.
			SourceIpRangesToNats: pulumi.ToStringArray([]string{"ALL_IP_RANGES"}),
		})
	}
	return all
}
