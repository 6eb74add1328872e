// A Droplet in a VPC of its own, behind a firewall.
//
// The firewall holds for a tag and exists before the Droplet, which thus is
// never open, not even while it boots.
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
	slug   = component.NewFormat(`[a-z0-9]+([.-][a-z0-9]+)*`, "a slug of lowercase letters, digits, dots and hyphens")
	sshKey = component.NewFormat(`[0-9]+|([0-9a-f]{2}:){15}[0-9a-f]{2}`, "the ID or MD5 fingerprint of a key in the account")

	everyone = pulumi.ToStringArray([]string{"0.0.0.0/0", "::/0"})
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name        = config.Text("name", "name of the Droplet, its VPC, firewall and tag", config.DefaultName(), component.DNSLabel)
		region      = pulumi.String(config.Text("region", "region", "fra1", slug))
		size        = config.Text("size", "its size", "s-1vcpu-1gb", slug)
		image       = config.Text("image", "what it boots", "ubuntu-24-04-x64", slug)
		sshKeys     = config.List("sshKeys", "keys in the account, by ID or fingerprint", sshKey)
		sshNetworks = config.CIDRs("sshNetworks", "networks that may use SSH; needs `sshKeys`")
		publicWeb   = config.Bool("publicWeb", "open ports 80 and 443 to everyone", false)
		backups     = config.Bool("backups", "weekly backups", true)
		labels      = config.Labels()
	)
	if len(sshNetworks) > 0 && len(sshKeys) == 0 {
		config.Reject("sshKeys", "is not set; without a key DigitalOcean sends a root password by mail")
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
	tag, err := digitalocean.NewTag(ctx, name, &digitalocean.TagArgs{Name: pulumi.String(name)})
	if err != nil {
		return err
	}
	firewall, err := digitalocean.NewFirewall(ctx, name, &digitalocean.FirewallArgs{
		Name:          pulumi.String(name),
		Tags:          pulumi.StringArray{tag.Name},
		InboundRules:  inbound(sshNetworks, publicWeb),
		OutboundRules: outbound(),
	})
	if err != nil {
		return err
	}
	droplet, err := digitalocean.NewDroplet(ctx, name, &digitalocean.DropletArgs{
		Name:             pulumi.String(name),
		Region:           region,
		Size:             pulumi.String(size),
		Image:            pulumi.String(image),
		VpcUuid:          vpc.ID(),
		SshKeys:          pulumi.ToStringArray(sshKeys),
		Backups:          pulumi.Bool(backups),
		Monitoring:       pulumi.Bool(true),
		GracefulShutdown: pulumi.Bool(true),
		Tags:             append(pulumi.StringArray{tag.Name}, pulumi.ToStringArray(labels.Tags())...),
	}, pulumi.DependsOn([]pulumi.Resource{firewall}))
	if err != nil {
		return err
	}

	ctx.Export("dropletId", droplet.ID())
	ctx.Export("ipv4", droplet.Ipv4Address)
	ctx.Export("privateIpv4", droplet.Ipv4AddressPrivate)
	ctx.Export("vpcId", vpc.ID())
	return nil
}

// inbound lets the named networks in by SSH and, if asked for, everyone to the
// web ports.
func inbound(sshNetworks []string, publicWeb bool) digitalocean.FirewallInboundRuleArray {
	var rules digitalocean.FirewallInboundRuleArray
	allow := func(port string, from pulumi.StringArray) {
		rules = append(rules, digitalocean.FirewallInboundRuleArgs{
			Protocol:        pulumi.String("tcp"),
			PortRange:       pulumi.String(port),
			SourceAddresses: from,
		})
	}
	if len(sshNetworks) > 0 {
		allow("22", pulumi.ToStringArray(sshNetworks))
	}
	if publicWeb {
		allow("80", everyone)
		allow("443", everyone)
	}
	return rules
}

func outbound() digitalocean.FirewallOutboundRuleArray {
	var rules digitalocean.FirewallOutboundRuleArray
	for _, protocol := range []string{"tcp", "udp"} {
		rules = append(rules, digitalocean.FirewallOutboundRuleArgs{
			Protocol:             pulumi.String(protocol),
			PortRange:            pulumi.String("1-65535"),
			DestinationAddresses: everyone,
		})
	}
	return rules
}
