// Package awscommon is what the programs for AWS share: the forms of what they
// are given, roles for services, and rules of security groups.
package awscommon

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

var (
	// Name leaves room for what programs and Pulumi append: a role's name, the
	// tightest, has at most 64 characters.
	Name = component.NewFormat(`[a-z]([a-z0-9-]{0,38}[a-z0-9])?`,
		"1 to 40 lowercase letters, digits and hyphens, starting with a letter")
	VPC           = component.NewFormat(`vpc-[0-9a-f]{8,17}`, "the ID of a VPC such as vpc-0a1b2c3d")
	Subnet        = component.NewFormat(`subnet-[0-9a-f]{8,17}`, "the ID of a subnet such as subnet-0a1b2c3d")
	SecurityGroup = component.NewFormat(`sg-[0-9a-f]{8,17}`, "the ID of a security group such as sg-0a1b2c3d")
	// KMSKey may be empty: AWS then encrypts with a key of its own.
	KMSKey = component.NewFormat(`|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+`, "the ARN of a KMS key")
	Policy = component.NewFormat(`arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/\S+`, "the ARN of a managed policy")

	// Everyone is the Internet, as peers of a security group.
	Everyone = []string{"0.0.0.0/0", "::/0"}
)

// ManagedPolicies is how the ARNs of AWS's own policies start.
const ManagedPolicies = "arn:aws:iam::aws:policy/"

// Tags are the labels and the name that the console shows.
func Tags(labels component.Labels, name string) pulumi.StringMap {
	tags := labels.Map()
	tags["Name"] = pulumi.String(name)
	return tags
}

// Subnets reads the setting "subnets", for services that survive the failure
// of a zone and therefore want two.
func Subnets(config *component.Config, meaning string) []string {
	subnets := config.List("subnets", meaning+"; at least two, in different zones", Subnet)
	if len(subnets) < 2 {
		config.Reject("subnets", "needs at least 2, in different zones, not %d", len(subnets))
	}
	return subnets
}

// Clients reads who may connect, as peers of a security group.
func Clients(config *component.Config) []string {
	return append(config.CIDRs("clientNetworks", "networks that may connect"),
		config.List("clientGroups", "security groups whose members may connect", SecurityGroup)...)
}

// LogDays reads how long CloudWatch keeps logs. It takes certain spans only.
func LogDays(config *component.Config) int {
	// What is no number is none of the choices, and noted as a fault.
	days, _ := strconv.Atoi(config.OneOf("logDays", "how long logs are kept", "30", "1", "3", "7", "14", "60", "90", "180", "365", "731"))
	return days
}

// ServiceRole is a role that one service may assume, such as
// ec2.amazonaws.com, with managed policies attached. What needs their rights
// takes the option: it is created after the policies are attached, and gone
// before they are detached.
func ServiceRole(ctx *pulumi.Context, name, service string, labels component.Labels, policies ...string) (*iam.Role, pulumi.ResourceOption, error) {
	role, err := iam.NewRole(ctx, name, &iam.RoleArgs{
		AssumeRolePolicy: pulumi.String(fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)),
		Tags: labels.Map(),
	})
	if err != nil {
		return nil, nil, err
	}
	attached := []pulumi.Resource{role}
	for _, policy := range policies {
		attachment, err := iam.NewRolePolicyAttachment(ctx, name+"-"+path.Base(policy), &iam.RolePolicyAttachmentArgs{
			Role:      role.Name,
			PolicyArn: pulumi.String(policy),
		})
		if err != nil {
			return nil, nil, err
		}
		attached = append(attached, attachment)
	}
	return role, pulumi.DependsOn(attached), nil
}

// Ports are those in the rules of a security group, of TCP unless Protocol says
// otherwise. A peer is a network or the ID of another group, whose members are
// meant.
type Ports struct {
	Group    pulumi.StringInput
	Protocol string
	From, To int
	Tags     pulumi.StringMap
}

// Admit lets the peers connect to these ports of the group's members.
func (p Ports) Admit(ctx *pulumi.Context, name string, peers ...string) error {
	for _, peer := range peers {
		args := p.rule(peer)
		if _, err := vpc.NewSecurityGroupIngressRule(ctx, p.name(name, "from", peer), &args); err != nil {
			return err
		}
	}
	return nil
}

// Reach lets the group's members connect to these ports of the peers.
func (p Ports) Reach(ctx *pulumi.Context, name string, peers ...string) error {
	for _, peer := range peers {
		args := vpc.SecurityGroupEgressRuleArgs(p.rule(peer))
		if _, err := vpc.NewSecurityGroupEgressRule(ctx, p.name(name, "to", peer), &args); err != nil {
			return err
		}
	}
	return nil
}

func (p Ports) name(group, direction, peer string) string {
	return fmt.Sprintf("%s-%s-%d-%s-%s", group, cmp.Or(p.Protocol, "tcp"), p.From, direction, peer)
}

// rule is the same for both directions, but for its type.
func (p Ports) rule(peer string) vpc.SecurityGroupIngressRuleArgs {
	args := vpc.SecurityGroupIngressRuleArgs{
		SecurityGroupId: p.Group,
		IpProtocol:      pulumi.String(cmp.Or(p.Protocol, "tcp")),
		FromPort:        pulumi.Int(p.From),
		ToPort:          pulumi.Int(p.To),
		Tags:            p.Tags,
	}
	switch {
	case strings.HasPrefix(peer, "sg-"):
		args.ReferencedSecurityGroupId = pulumi.String(peer)
	case strings.Contains(peer, ":"):
		args.CidrIpv6 = pulumi.String(peer)
	default:
		args.CidrIpv4 = pulumi.String(peer)
	}
	return args
}
