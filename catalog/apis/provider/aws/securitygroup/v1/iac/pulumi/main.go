// A security group and its rules.
//
// A group that nobody configured lets nobody in. The Internet is admitted to
// the web ports only, and only on request.
package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	// description and its characters are those that AWS takes.
	description = component.NewFormat(`[a-zA-Z0-9 ._:/()#,@+=&;{}!$*-]{1,255}`, "1 to 255 letters, digits, spaces and the characters ._-:/()#,@+=&;{}!$*")
	portRange   = component.NewFormat(`[0-9]{1,5}(-[0-9]{1,5})?/(tcp|udp)`, "a port such as 443/tcp or a range such as 8000-8010/tcp")

	webPorts = []string{"80/tcp", "443/tcp"}
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name    = config.Text("name", "start of the group's name; a random suffix follows", config.DefaultName(), formats.Name)
		about   = config.Text("description", "what the group is for; a change replaces it", "Managed by Pulumi", description)
		vpcID   = config.Text("vpcId", "the VPC it belongs to", "", formats.VPC)
		ports   = config.List("ports", "ports that clients may connect to", portRange)
		clients = formats.Clients(config)
		public  = config.Bool("public", "let everyone connect; only to ports 80/tcp and 443/tcp", false)
		peers   = config.Bool("peers", "let members connect to each other, on all ports", false)
		egress  = config.OneOf("egress", "what members may connect to: HTTPS servers, nothing or everything", "https", "none", "all")
		labels  = config.Labels()
	)
	if public {
		if slices.ContainsFunc(ports, func(port string) bool { return !slices.Contains(webPorts, port) }) {
			config.Reject("public", "opens no ports but %s", strings.Join(webPorts, " and "))
		}
		if len(clients) > 0 {
			config.Reject("public", "includes all clients; leave out clientNetworks and clientGroups")
		}
		clients = awscommon.Everyone
	}
	if (len(ports) == 0) != (len(clients) == 0) {
		config.Reject("ports", "open nothing without clients, nor clients without ports")
	}
	ranges := parse(config, ports)
	if err := config.Err(); err != nil {
		return err
	}

	group, err := ec2.NewSecurityGroup(ctx, name, &ec2.SecurityGroupArgs{
		Description: pulumi.String(about),
		VpcId:       pulumi.String(vpcID),
		Tags:        formats.Tags(labels, name),
	})
	if err != nil {
		return err
	}
	for _, ports := range ranges {
		ports.Group, ports.Tags = group.ID(), labels.Map()
		if err := ports.Admit(ctx, name, clients...); err != nil {
			return err
		}
	}
	if peers {
		if err := connectPeers(ctx, name, group, labels); err != nil {
			return err
		}
	}
	if err := allowEgress(ctx, name, group, egress, labels); err != nil {
		return err
	}

	ctx.Export("securityGroupId", group.ID())
	ctx.Export("arn", group.Arn)
	return nil
}

// parse finds what the pattern cannot: ports beyond 65535, ranges upside down.
func parse(config *component.Config, texts []string) []awscommon.Ports {
	var all []awscommon.Ports
	for _, text := range texts {
		ports, protocol, _ := strings.Cut(text, "/")
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		from, _ := strconv.Atoi(first)
		to, _ := strconv.Atoi(last)
		if from < 1 || to < from || to > 65535 {
			config.Reject("ports", "%s is not within 1 to 65535, from the lower to the higher", text)
		}
		all = append(all, awscommon.Ports{Protocol: protocol, From: from, To: to})
	}
	return all
}

// connectPeers opens both ends: what leaves a member is filtered as well.
func connectPeers(ctx *pulumi.Context, name string, group *ec2.SecurityGroup, labels component.Labels) error {
	if _, err := vpc.NewSecurityGroupIngressRule(ctx, name+"-from-peers", &vpc.SecurityGroupIngressRuleArgs{
		SecurityGroupId:           group.ID(),
		IpProtocol:                pulumi.String("-1"),
		ReferencedSecurityGroupId: group.ID(),
		Tags:                      labels.Map(),
	}); err != nil {
		return err
	}
	_, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-to-peers", &vpc.SecurityGroupEgressRuleArgs{
		SecurityGroupId:           group.ID(),
		IpProtocol:                pulumi.String("-1"),
		ReferencedSecurityGroupId: group.ID(),
		Tags:                      labels.Map(),
	})
	return err
}

// allowEgress says what members may start; answers to clients always pass, and
// so do questions to the VPC's name server.
func allowEgress(ctx *pulumi.Context, name string, group *ec2.SecurityGroup, egress string, labels component.Labels) error {
	switch egress {
	case "https":
		https := awscommon.Ports{Group: group.ID(), From: 443, To: 443, Tags: labels.Map()}
		return https.Reach(ctx, name, awscommon.Everyone...)
	case "all":
		for _, to := range []struct {
			family     string
			ipv4, ipv6 pulumi.StringPtrInput
		}{
			{family: "ipv4", ipv4: pulumi.String("0.0.0.0/0")},
			{family: "ipv6", ipv6: pulumi.String("::/0")},
		} {
			if _, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-to-all-"+to.family, &vpc.SecurityGroupEgressRuleArgs{
				SecurityGroupId: group.ID(),
				IpProtocol:      pulumi.String("-1"),
				CidrIpv4:        to.ipv4,
				CidrIpv6:        to.ipv6,
				Tags:            labels.Map(),
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
