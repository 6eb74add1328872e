// A virtual network whose subnets are closed, with a NAT gateway.
//
// Azure gives every subnet a way out by addresses that nobody knows beforehand
// and that change. Here it is switched off: the way out is the NAT gateway,
// whose one address others can allow.
package main

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/network/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/resources/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	subnetName = component.NewFormat(`[a-z]([a-z0-9-]{0,62}[a-z0-9])?`, "a subnet's name")
	subnetItem = component.NewFormat(`[a-z]([a-z0-9-]{0,62}[a-z0-9])?=[0-9a-f.:]+/[0-9]+(@Microsoft\.[A-Za-z.]+(/[A-Za-z]+)+)?`,
		"NAME=CIDR or NAME=CIDR@SERVICE, such as web=10.0.1.0/24 or apps=10.0.2.0/23@Microsoft.App/environments")
)

// subnet is an item of the setting subnets.
type subnet struct {
	name    string
	network netip.Prefix
	// service is the one that the subnet is delegated to, if any.
	service string
	// public subnets are open to the Internet at the web ports.
	public bool
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name    = config.Text("name", "start of the network's name; a random suffix follows", config.DefaultName(), component.DNSLabel)
		where   = config.Text("location", "region", "westeurope", azure.Location)
		spaces  = config.CIDRs("addressSpaces", "its address ranges; 10.0.0.0/16 without any")
		items   = config.List("subnets", "at least one subnet; one with a service is left to that service alone", subnetItem)
		public  = config.List("publicSubnets", "subnets that are open to everyone at ports 80 and 443", subnetName)
		nat     = config.Bool("natGateway", "let the subnets reach the Internet", true)
		encrypt = config.Bool("encryption", "encrypt the traffic between virtual machines that can do so", true)
		peers   = config.List("peers", "networks to connect with", azure.ID("Microsoft.Network/virtualNetworks"))
		labels  = config.Labels()
	)
	if len(spaces) == 0 {
		spaces = []string{"10.0.0.0/16"}
	}
	subnets := parse(config, spaces, items, public)
	if err := config.Err(); err != nil {
		return err
	}

	group, err := azure.NewResourceGroup(ctx, name, where, labels)
	if err != nil {
		return err
	}
	args := &network.VirtualNetworkArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		AddressSpace:      network.AddressSpaceArgs{AddressPrefixes: pulumi.ToStringArray(spaces)},
		Encryption: network.VirtualNetworkEncryptionArgs{
			Enabled:     pulumi.Bool(encrypt),
			Enforcement: pulumi.String(network.VirtualNetworkEncryptionEnforcementAllowUnencrypted),
		},
		Tags: labels.Map(),
	}
	var gateway network.SubResourcePtrInput
	if nat {
		if gateway, err = addGateway(ctx, name, group, labels); err != nil {
			return err
		}
	}
	// Subnets are part of the network: made one by one they would get in each
	// other's way.
	if args.Subnets, err = closedSubnets(ctx, group, subnets, gateway, labels); err != nil {
		return err
	}
	vnet, err := network.NewVirtualNetwork(ctx, name, args)
	if err != nil {
		return err
	}
	for _, peer := range peers {
		if _, err := network.NewVirtualNetworkPeering(ctx, path.Base(peer), &network.VirtualNetworkPeeringArgs{
			ResourceGroupName:         group.Name,
			VirtualNetworkName:        vnet.Name,
			RemoteVirtualNetwork:      network.SubResourceArgs{Id: pulumi.String(peer)},
			AllowVirtualNetworkAccess: pulumi.Bool(true),
			AllowForwardedTraffic:     pulumi.Bool(false),
		}); err != nil {
			return err
		}
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("network", vnet.Name)
	ids := pulumi.StringMap{}
	for _, s := range subnets {
		ids[s.name] = pulumi.Sprintf("%s/subnets/%s", vnet.ID(), s.name)
	}
	ctx.Export("subnets", ids)
	return nil
}

// parse checks what no format can: that all subnets are within the address
// spaces, apart, and that the public ones are among them.
func parse(config *component.Config, spaces, items, public []string) []subnet {
	if len(items) == 0 {
		config.Reject("subnets", "is not set; a network without subnets holds nothing")
	}
	var subnets []subnet
	for _, item := range items {
		if !subnetItem.Pattern.MatchString(item) {
			continue // config has told so
		}
		name, rest, _ := strings.Cut(item, "=")
		cidr, service, _ := strings.Cut(rest, "@")
		prefix, err := netip.ParsePrefix(cidr)
		switch {
		case err != nil || prefix != prefix.Masked():
			config.Reject("subnets", "%s is not a network, in %q", cidr, item)
			continue
		case !slices.ContainsFunc(spaces, func(space string) bool { return within(space, prefix) }):
			config.Reject("subnets", "%s of %s is outside of %s", cidr, name, strings.Join(spaces, ", "))
		}
		for _, other := range subnets {
			if other.name == name || other.network.Overlaps(prefix) {
				config.Reject("subnets", "%s and %q overlap", other.name, item)
			}
		}
		subnets = append(subnets, subnet{name, prefix, service, slices.Contains(public, name)})
	}
	for _, name := range public {
		if !slices.ContainsFunc(subnets, func(s subnet) bool { return s.name == name }) {
			config.Reject("publicSubnets", "there is no subnet %q", name)
		}
	}
	return subnets
}

func within(space string, prefix netip.Prefix) bool {
	whole, err := netip.ParsePrefix(space)
	return err == nil && whole.Bits() <= prefix.Bits() && whole.Contains(prefix.Addr())
}

// addGateway is a NAT gateway with one address, which is exported.
func addGateway(ctx *pulumi.Context, name string, group *resources.ResourceGroup, labels component.Labels) (network.SubResourcePtrInput, error) {
	address, err := network.NewPublicIPAddress(ctx, name, &network.PublicIPAddressArgs{
		ResourceGroupName:        group.Name,
		Location:                 group.Location,
		Sku:                      network.PublicIPAddressSkuArgs{Name: pulumi.String(network.PublicIPAddressSkuNameStandard)},
		PublicIPAllocationMethod: pulumi.String(network.IPAllocationMethodStatic),
		Tags:                     labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	gateway, err := network.NewNatGateway(ctx, name, &network.NatGatewayArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		Sku:               network.NatGatewaySkuArgs{Name: pulumi.String(network.NatGatewaySkuNameStandard)},
		PublicIpAddresses: network.SubResourceArray{network.SubResourceArgs{Id: address.ID()}},
		Tags:              labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	ctx.Export("outboundAddress", address.IpAddress)
	return network.SubResourceArgs{Id: gateway.ID()}, nil
}

// closedSubnets have a security group each, so that a rule for one is not one
// for all. Even without rules of its own a group lets nobody in from the
// Internet.
func closedSubnets(ctx *pulumi.Context, group *resources.ResourceGroup, subnets []subnet, gateway network.SubResourcePtrInput, labels component.Labels) (network.SubnetTypeArray, error) {
	var all network.SubnetTypeArray
	for _, s := range subnets {
		security, err := network.NewNetworkSecurityGroup(ctx, s.name, &network.NetworkSecurityGroupArgs{
			ResourceGroupName: group.Name,
			Location:          group.Location,
			SecurityRules:     rules(s),
			Tags:              labels.Map(),
		})
		if err != nil {
			return nil, err
		}
		args := network.SubnetTypeArgs{
			Name:                           pulumi.String(s.name),
			AddressPrefix:                  pulumi.String(s.network.String()),
			NetworkSecurityGroup:           network.NetworkSecurityGroupTypeArgs{Id: security.ID()},
			NatGateway:                     gateway,
			DefaultOutboundAccess:          pulumi.Bool(false),
			PrivateEndpointNetworkPolicies: pulumi.String(network.VirtualNetworkPrivateEndpointNetworkPoliciesEnabled),
		}
		if s.service != "" {
			args.Delegations = network.DelegationArray{network.DelegationArgs{
				Name:        pulumi.String(s.name),
				ServiceName: pulumi.String(s.service),
			}}
		}
		all = append(all, args)
	}
	return all, nil
}

func rules(s subnet) network.SecurityRuleTypeArray {
	if !s.public {
		return nil
	}
	return network.SecurityRuleTypeArray{network.SecurityRuleTypeArgs{
		Name:                     pulumi.String("web"),
		Priority:                 pulumi.Int(100),
		Direction:                pulumi.String(network.SecurityRuleDirectionInbound),
		Access:                   pulumi.String(network.SecurityRuleAccessAllow),
		Protocol:                 pulumi.String(network.SecurityRuleProtocolTcp),
		SourceAddressPrefix:      pulumi.String("Internet"),
		SourcePortRange:          pulumi.String("*"),
		DestinationAddressPrefix: pulumi.String(s.network.String()),
		DestinationPortRanges:    pulumi.ToStringArray([]string{"80", "443"}),
	}}
}
