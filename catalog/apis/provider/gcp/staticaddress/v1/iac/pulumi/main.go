// A static IP address, with a name in DNS if you like.
//
// An address that is given back may be somebody else's the next minute, while
// partners' firewalls and caches still point to it: thus Pulumi protects it.
package main

import (
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	ipv4 = component.NewFormat(`|([0-9]{1,3}\.){3}[0-9]{1,3}`, "an IPv4 address such as 10.0.0.7")
	// fqdn ends with a dot, or Google refuses the record.
	fqdn = component.NewFormat(`|([a-z0-9_*-]+\.){2,}`, "a full name that ends with a dot, such as www.example.com.")
)

// settings is one validated configuration.
type settings struct {
	name, kind, region, subnetwork, address, version, tier, zone, record string
	protect                                                              bool
	labels                                                               component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:       config.Text("name", "name of the address", config.DefaultName(), component.DNSLabel),
		kind:       config.OneOf("kind", "what it is for: global load balancers; VMs, NAT and load balancers of a region; or use within a network, respectively", "global", "regional", "internal"),
		region:     config.Text("region", "region, unless it is global", "europe-west1", formats.Region),
		subnetwork: config.Text("subnetwork", "where an internal address comes from, in the same region", "", formats.Subnetwork.OrUnset()),
		address:    config.Text("address", "a certain internal address of the subnetwork; left out, any free one", "", ipv4),
		version:    config.OneOf("ipVersion", "IP version; `IPV6` is for a global one", "IPV4", "IPV6"),
		tier:       config.OneOf("networkTier", "Google's network or the Internet between clients and region; `STANDARD` is for a regional one", "PREMIUM", "STANDARD"),
		zone:       config.Text("dnsZone", "managed zone in which to make a record, by its name in GCP", "", component.DNSLabel.OrUnset()),
		record:     config.Text("dnsName", "name of the record", "", fqdn),
		protect:    config.Bool("protect", "refuse to release the address", true),
		labels:     config.Labels(),
	}
	for _, rule := range []struct {
		broken       bool
		key, message string
	}{
		{s.kind == "internal" && s.subnetwork == "", "subnetwork", "is not set; an internal address comes from one"},
		{s.kind != "internal" && s.subnetwork != "", "subnetwork", "is for internal addresses; set kind to internal"},
		{s.kind == "internal" && s.subnetwork != "" && !formats.InRegion(s.subnetwork, s.region), "region", "is not that of the subnetwork"},
		{s.kind != "internal" && s.address != "", "address", "can be chosen for internal addresses only"},
		{s.kind != "global" && s.version == "IPV6", "ipVersion", "can be IPV6 for global addresses only"},
		{s.kind != "regional" && s.tier == "STANDARD", "networkTier", "can be STANDARD for regional addresses only"},
		{(s.zone == "") != (s.record == ""), "dnsZone", "goes together with dnsName"},
	} {
		if rule.broken {
			config.Reject(rule.key, "%s", rule.message)
		}
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	reserve := newAddress
	if s.kind == "global" {
		reserve = newGlobalAddress
	}
	address, link, err := reserve(ctx, s, pulumi.Protect(s.protect))
	if err != nil {
		return err
	}
	if s.record != "" {
		kind := map[string]string{"IPV4": "A", "IPV6": "AAAA"}[s.version]
		record, err := dns.NewRecordSet(ctx, s.name, &dns.RecordSetArgs{
			ManagedZone: pulumi.String(s.zone),
			Name:        pulumi.String(s.record),
			Type:        pulumi.String(kind),
			Ttl:         pulumi.Int(300),
			Rrdatas:     pulumi.StringArray{address},
		})
		if err != nil {
			return err
		}
		ctx.Export("dnsName", record.Name)
	}

	ctx.Export("address", address)
	ctx.Export("selfLink", link)
	return nil
}

// newAddress reserves an address of one region. It returns the address and the
// link by which other resources name it.
func newAddress(ctx *pulumi.Context, s settings, opts ...pulumi.ResourceOption) (address, link pulumi.StringOutput, err error) {
	args := &compute.AddressArgs{
		Name:        pulumi.String(s.name),
		Region:      pulumi.String(s.region),
		AddressType: pulumi.String("EXTERNAL"),
		NetworkTier: pulumi.String(s.tier),
		Labels:      s.labels.Map(),
	}
	if s.kind == "internal" {
		args.AddressType = pulumi.String("INTERNAL")
		args.NetworkTier = nil
		args.Subnetwork = pulumi.String(s.subnetwork)
		args.Address = component.Optional(s.address)
	}
	reserved, err := compute.NewAddress(ctx, s.name, args, opts...)
	if err != nil {
		return address, link, err
	}
	return reserved.Address, reserved.SelfLink, nil
}

// newGlobalAddress is the same for an address that every region announces.
func newGlobalAddress(ctx *pulumi.Context, s settings, opts ...pulumi.ResourceOption) (address, link pulumi.StringOutput, err error) {
	reserved, err := compute.NewGlobalAddress(ctx, s.name, &compute.GlobalAddressArgs{
		Name:        pulumi.String(s.name),
		AddressType: pulumi.String("EXTERNAL"),
		IpVersion:   pulumi.String(s.version),
		Labels:      s.labels.Map(),
	}, opts...)
	if err != nil {
		return address, link, err
	}
	return reserved.Address, reserved.SelfLink, nil
}
